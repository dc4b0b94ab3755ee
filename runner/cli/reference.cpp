// steps: the step reference, printed from the schema that checks the parameters.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>

#include "runner/cli/commands.h"
#include "runner/cli/print.h"
#include "runner/lang/common.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

std::string family_of(const StepType& type) {
  return type.name.substr(0, type.name.find('.'));
}

std::string rows(const std::string& name, std::size_t width, const std::string& text) {
  return fmt::format("  {:<{}}  {}\n", name, width, wrapped(text, width + 4));
}

std::string names_of(const std::vector<Field>& fields) {
  std::vector<std::string> names;
  for (const Field& field : fields) names.push_back(field.name + (field.required ? "" : "?"));
  return sys::join(names, ", ");
}

std::string tagged_text(const Field& field) {
  std::vector<std::string> each;
  for (const Field& part : field.parts)
    if (!part.parts.empty()) each.push_back(part.name + "{ " + names_of(part.parts) + " }");
  return each.empty() ? sys::join(field.choices, " | ") + "{ " + names_of(field.parts) + " }"
                      : sys::join(each, " | ");
}

std::string field_text(const Field& field) {
  std::string text = field.choices.empty() ? name_of(field.type) : sys::join(field.choices, " | ");
  if (field.type == FieldType::tagged) text = tagged_text(field);
  if (field.required) text += ", required";
  if (!field.fallback.empty()) text += ", default " + field.fallback;
  return field.doc.empty() ? text : text + ": " + field.doc;
}

std::string describe(const StepType& type) {
  std::string out = type.name + "\n\n" + wrapped(type.doc, 0) + "\n\n";
  std::size_t width = 0;
  for (const Field& field : type.fields) width = std::max(width, field.name.size());
  for (const Output& output : type.outputs) width = std::max(width, output.name.size());
  if (!type.fields.empty()) out += "fields\n";
  for (const Field& field : type.fields) out += rows(field.name, width, field_text(field));
  for (const Field& field : lang::probe_fields(type)) out += rows(field.name, width, field_text(field));
  if (!type.outputs.empty()) out += "\noutputs\n";
  for (const Output& output : type.outputs) out += rows(output.name, width, output.doc);
  const char* doubt = type.in_doubt == InDoubt::again ? "it is applied again, and converges"
                      : type.in_doubt == InDoubt::ask ? "a person is asked, unless reality tells"
                                                      : "it is undone, then applied afresh";
  out += "\n";
  out += rows("in doubt", 8, doubt);
  out += rows("undo", 8,
              type.undo == Undo::whole  ? "whole"
              : type.undo == Undo::part ? "in part: " + type.stays
              : type.undo == Undo::none ? "none"
                                        : "as far as its `undo` goes; without one, none");
  out += "\nexample\n";
  for (const std::string& line : sys::split(type.example, '\n')) out += "  " + line + "\n";
  return out;
}

}  // namespace

int command_steps(const Options& options, const Program& program) {
  std::vector<const StepType*> types = program.types;
  std::sort(types.begin(), types.end(),
            [](const StepType* a, const StepType* b) { return a->name < b->name; });
  if (options.step.empty()) {
    std::size_t width = 0;
    for (const StepType* type : types) width = std::max(width, type->name.size());
    for (const StepType* type : types)
      std::fputs(rows(type->name, width, first_line(type->doc)).c_str(), stdout);
    std::printf("\n%s\n",
                wrapped("`relight steps TYPE` shows one in full. Every step also takes after, as, doc, "
                        "timeout, retry, when, defaults, in_doubt, on_failure, waive and no_return; a "
                        "probe takes proves, too, and some take watch.",
                        0)
                    .c_str());
    return 0;
  }
  std::vector<std::string> names;
  bool found = false;
  for (const StepType* type : types) {
    names.push_back(type->name);
    if (type->name != options.step && family_of(*type) != options.step) continue;
    std::fputs(((found ? "\n" : "") + describe(*type)).c_str(), stdout);
    found = true;
  }
  if (found) return 0;
  const std::string near = near_name(options.step, names);
  throw Error(ErrorKind::refused, "cannot describe the step type", options.step, "there is none of that name",
              near.empty() ? "`relight steps` lists them" : "did you mean " + near + "?");
}

}  // namespace relight
