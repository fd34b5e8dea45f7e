#include "client/svg_writer.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

std::string Escape(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        // XML has no way to write control characters.
        escaped += absl::ascii_iscntrl(static_cast<unsigned char>(c)) ? '?' : c;
    }
  }
  return escaped;
}

}  // namespace

std::string SvgNumber(double value) {
  const double rounded = std::round(value * 10) / 10;
  return absl::StrCat(rounded == 0 ? 0 : rounded);  // Never "-0".
}

void SvgWriter::Rect(double x, double y, double width, double height, absl::string_view attributes,
                     absl::string_view hint) {
  absl::StrAppend(&body_, "<rect x=\"", SvgNumber(x), "\" y=\"", SvgNumber(y), "\" width=\"", SvgNumber(width),
                  "\" height=\"", SvgNumber(height), "\" ", attributes);
  if (hint.empty()) {
    absl::StrAppend(&body_, "/>\n");
  } else {
    absl::StrAppend(&body_, "><title>", Escape(hint), "</title></rect>\n");
  }
}

void SvgWriter::Circle(double x, double y, double radius, absl::string_view attributes) {
  absl::StrAppend(&body_, "<circle cx=\"", SvgNumber(x), "\" cy=\"", SvgNumber(y), "\" r=\"", SvgNumber(radius), "\" ",
                  attributes, "/>\n");
}

void SvgWriter::Line(double x1, double y1, double x2, double y2, absl::string_view attributes) {
  absl::StrAppend(&body_, "<line x1=\"", SvgNumber(x1), "\" y1=\"", SvgNumber(y1), "\" x2=\"", SvgNumber(x2),
                  "\" y2=\"", SvgNumber(y2), "\" ", attributes, "/>\n");
}

void SvgWriter::Path(absl::string_view data, absl::string_view attributes) {
  absl::StrAppend(&body_, "<path d=\"", data, "\" ", attributes, "/>\n");
}

void SvgWriter::Text(double x, double y, double size, absl::string_view anchor, absl::string_view attributes,
                     absl::string_view text) {
  absl::StrAppend(&body_, "<text x=\"", SvgNumber(x), "\" y=\"", SvgNumber(y), "\" font-size=\"", SvgNumber(size),
                  "\" text-anchor=\"", anchor, "\" ", attributes, ">", Escape(text), "</text>\n");
}

std::string SvgWriter::Finish(double width, double height, absl::string_view title) const {
  const std::string size = absl::StrCat("width=\"", SvgNumber(width), "\" height=\"", SvgNumber(height), "\"");
  return absl::StrCat("<svg xmlns=\"http://www.w3.org/2000/svg\" ", size, " viewBox=\"0 0 ", SvgNumber(width), " ",
                      SvgNumber(height), "\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n<title>",
                      Escape(title), "</title>\n<rect ", size, " fill=\"#ffffff\"/>\n", body_, "</svg>\n");
}

}  // namespace bwrt::client
