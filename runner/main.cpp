// The only file that sees both the engine and the table of step types.
#include <cstdio>
#include <cstring>

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("relight " RELIGHT_VERSION);
    return 0;
  }
  std::fputs("relight: nothing can be run yet\n", stderr);
  return 2;
}
