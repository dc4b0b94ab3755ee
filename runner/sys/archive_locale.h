// The locale in which libarchive takes and gives an entry's name. Not for other rooms.
#pragma once
#include <locale.h>

namespace relight::sys {

// libarchive converts names to the thread's locale, and makes NFC of them on the way. Under "C" a tar's
// names stay the bytes that they are; a zip's UTF-8 names exist only in a UTF-8 locale.
class ArchiveLocale {
 public:
  explicit ArchiveLocale(bool utf8) : before_(::uselocale(utf8 ? utf8_locale() : c_locale())) {}
  ~ArchiveLocale() { ::uselocale(before_); }
  ArchiveLocale(const ArchiveLocale&) = delete;

 private:
  static locale_t c_locale() {
    static const locale_t locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
    return locale;
  }
  static locale_t utf8_locale() {
    static const locale_t locale = ::newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
    return locale == nullptr ? c_locale() : locale;
  }
  locale_t before_;
};

}  // namespace relight::sys
