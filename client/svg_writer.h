// Elements of an SVG document, written one after the other.
//
// Owned by whoever draws; one thread. Attributes are written as they are given and must need no escaping; texts are
// escaped.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace bwrt::client {

// To a tenth, without trailing zeros: "12.5", "12".
std::string SvgNumber(double value);

class SvgWriter {
 public:
  // `hint` is shown where a viewer lets people point at things; may be empty.
  void Rect(double x, double y, double width, double height, absl::string_view attributes, absl::string_view hint = "");
  void Circle(double x, double y, double radius, absl::string_view attributes);
  void Line(double x1, double y1, double x2, double y2, absl::string_view attributes);
  // `data` is a path's "M 0 0 L 1 1".
  void Path(absl::string_view data, absl::string_view attributes);
  // `anchor` is start, middle or end; `y` is the base line.
  void Text(double x, double y, double size, absl::string_view anchor, absl::string_view attributes,
            absl::string_view text);
  void Raw(absl::string_view elements) { body_.append(elements.data(), elements.size()); }

  const std::string& body() const { return body_; }

  // The document, on white. `title` is its accessible name.
  std::string Finish(double width, double height, absl::string_view title) const;

 private:
  std::string body_;
};

}  // namespace bwrt::client
