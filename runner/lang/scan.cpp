#include "runner/lang/scan.h"

#include <algorithm>
#include <string_view>

#include "runner/lang/lex.h"
#include "runner/lang/library.h"
#include "runner/step/schema.h"

namespace relight::lang {

namespace {

struct Local {
  // handle: a step for certain; maybe: a local that was given a step later, and is nil where it was not;
  // late: an output, or a text with one; outputs: the `o` of a when function.
  enum class Kind { plain, handle, maybe, late, outputs };
  std::string_view name;
  Kind kind = Kind::plain;
  std::string_view step;    // of a handle, where its name stands as a text
  std::string_view output;  // of a late value
};

// A block or a bracket that is open.
struct Open {
  enum class Kind { block, table, bracket };
  Kind kind = Kind::block;
  std::vector<Local> locals;
  std::set<std::string_view> keys;  // of a table
  int statement = 0;                // of a table: the line of `family.type "name" {`
  bool runs_later = false;          // in a run, undo, check or when function outputs are known
  int function_line = 0;
};

class Scanner {
 public:
  Scanner(const SourceFile& source, const std::set<std::string>& families)
      : file_(source.name), families_(families), tokens_(tokens_of(source.bytes)) {
    for (const std::string& name : lua_names()) globals_.insert(name);
    for (const std::string& name : word_names()) globals_.insert(name);
    globals_.insert(families.begin(), families.end());
  }

  Scan run() {
    open_.emplace_back();
    for (at_ = 0; here().kind != Token::Kind::end; ++at_) {
      if (here().is_name())
        name();
      else if (here().kind == Token::Kind::keyword)
        keyword();
      else if (here().kind == Token::Kind::symbol)
        symbol();
      if (open_.empty()) open_.emplace_back();
    }
    return std::move(result_);
  }

 private:
  const Token& peek(std::ptrdiff_t ahead) const {
    static const Token none;
    const std::ptrdiff_t place = static_cast<std::ptrdiff_t>(at_) + ahead;
    return place < 0 ? none : tokens_[std::min(static_cast<std::size_t>(place), tokens_.size() - 1)];
  }
  const Token& here() const { return peek(0); }

  void fault(int line, std::string what, std::string hint) {
    result_.faults.push_back({{file_, line}, "", std::move(what), std::move(hint)});
  }

  Local* find(std::string_view name) {
    for (auto open = open_.rbegin(); open != open_.rend(); ++open)
      for (auto local = open->locals.rbegin(); local != open->locals.rend(); ++local)
        if (local->name == name) return &*local;
    return nullptr;
  }

  bool in_later_function() const { return !open_.empty() && open_.back().runs_later; }

  Open& push(Open::Kind kind) {
    const bool later = in_later_function();
    open_.emplace_back();
    open_.back().kind = kind;
    open_.back().runs_later = later;
    return open_.back();
  }
  void pop() {
    if (!open_.empty()) open_.pop_back();
  }

  void declare(const Token& token, Open& into) {
    const std::string name(token.text);
    if (families_.count(name))
      fault(token.line, "a local named `" + name + "` hides the family " + name,
            "give it another name: no step of " + name + " could be written below it");
    else if (std::binary_search(word_names().begin(), word_names().end(), name))
      fault(token.line, "a local named `" + name + "` hides a word of the language", "give it another name");
    into.locals.push_back({token.text, Local::Kind::plain, {}, {}});
  }

  // At a name or keyword: does FAMILY.TYPE "NAME", approve "NAME" or script "NAME" begin `ahead` of here?
  bool step_begins(std::ptrdiff_t ahead, std::string_view& step) {
    const Token& first = peek(ahead);
    if (!first.is_name() || find(first.text)) return false;
    if (first.text == "approve" || first.text == "script") {
      step = peek(ahead + 1).text;
      return peek(ahead + 1).is_text();
    }
    if (!families_.count(std::string(first.text)) || !peek(ahead + 1).is(".")) return false;
    std::ptrdiff_t name = ahead + 3;
    if (peek(name).is("(")) ++name;
    if (!peek(name).is_text() && name == ahead + 3) return false;
    if (peek(name).is_text()) step = peek(name).text;
    return true;
  }

  // `local a, b <const> = ...`, standing at `local`.
  void local_names() {
    if (peek(1).is("function")) {
      declare(peek(2), open_.back());
      at_ += 1;
      function(1);
      return;
    }
    std::size_t count = 0;
    do {
      ++at_;
      declare(here(), open_.back());
      ++count;
      if (peek(1).is("<")) at_ += 3;
      ++at_;
    } while (here().is(","));
    if (!here().is("=") || count != 1) {
      --at_;
      return;
    }
    Local& local = open_.back().locals.back();
    value_of(local, 1, Local::Kind::handle);
  }

  // What the value `ahead` of here makes of a local.
  void value_of(Local& local, std::ptrdiff_t ahead, Local::Kind as_handle) {
    if (step_begins(ahead, local.step)) {
      local.kind = as_handle;
      return;
    }
    const Token& first = peek(ahead);
    const Local* from = first.is_name() ? find(first.text) : nullptr;
    if (from == nullptr || from == &local) return;
    const bool field = peek(ahead + 1).is(".") && peek(ahead + 2).is_name();
    const Token& after = peek(ahead + (field ? 3 : 1));
    if (after.is("and") || after.is("or") || after.is("==") || after.is("~=") || after.is("(") ||
        after.is("["))
      return;
    if ((from->kind == Local::Kind::handle || from->kind == Local::Kind::maybe) && field) {
      local.kind = Local::Kind::late;
      local.step = from->step;
      local.output = peek(ahead + 2).text;
    }
  }

  // At `function`; `name` tokens of a name may follow. Leaves at the closing parenthesis of the parameters.
  void function(std::ptrdiff_t named) {
    const int line = here().line;
    const Token& field = peek(-2);
    const bool of_field =
        named == 0 && peek(-1).is("=") && field.is_name() && open_.back().kind == Open::Kind::table;
    const bool when = of_field && field.text == "when";
    const bool later =
        when || (of_field && (field.text == "run" || field.text == "undo" || field.text == "check"));
    bool method = false;
    while (here().kind != Token::Kind::end && !here().is("(")) {
      method = method || here().is(":");
      ++at_;
    }
    Open& body = push(Open::Kind::block);
    body.runs_later = body.runs_later || later;
    body.function_line = line;
    if (method) body.locals.push_back({"self", Local::Kind::plain, {}, {}});
    for (++at_; here().kind != Token::Kind::end && !here().is(")"); ++at_) {
      if (!here().is_name()) continue;
      declare(here(), body);
      if (when && body.locals.size() == 1) body.locals.back().kind = Local::Kind::outputs;
    }
  }

  void keyword() {
    const std::string_view word = here().text;
    if (word == "local") {
      local_names();
    } else if (word == "function") {
      if (peek(1).is_name() && find(peek(1).text) == nullptr && peek(2).is("("))
        fault(here().line, "`" + std::string(peek(1).text) + "` would be a global",
              "write `local function " + std::string(peek(1).text) + "`");
      function(peek(1).is_name() ? 1 : 0);
    } else if (word == "for") {
      loops_.push_back({open_.size(), {}});
      while (here().kind != Token::Kind::end && !here().is("=") && !here().is("in")) {
        if (here().is_name()) loops_.back().names.push_back(here());
        ++at_;
      }
    } else if (word == "do" || word == "then" || word == "repeat") {
      const std::size_t depth = open_.size();
      Open& block = push(Open::Kind::block);
      if (word == "do" && !loops_.empty() && loops_.back().depth == depth) {
        for (const Token& token : loops_.back().names) declare(token, block);
        loops_.pop_back();
      }
    } else if (word == "else") {
      pop();
      push(Open::Kind::block);
    } else if (word == "elseif" || word == "end") {
      pop();
    } else if (word == "until") {
      // The condition still sees the block's locals.
      std::vector<Local> locals = std::move(open_.back().locals);
      pop();
      if (!open_.empty()) open_.back().locals.insert(open_.back().locals.end(), locals.begin(), locals.end());
    } else if (word == "goto") {
      ++at_;
    } else if (word == "nil" && begins_item() && (peek(1).is(",") || peek(1).is(";") || peek(1).is("}"))) {
      fault(here().line, "nil in a list: Lua forgets it, and what follows it", "leave it out");
    }
  }

  void symbol() {
    const std::string_view mark = here().text;
    if (mark == "{") {
      const int statement = statement_of_table();
      push(Open::Kind::table).statement = statement;
    } else if (mark == "(" || mark == "[") {
      if (mark == "[" && begins_item() && peek(1).is_text() && peek(2).is("]") && peek(3).is("=")) {
        ++at_;
        key();
        at_ += 1;
        return;
      }
      push(Open::Kind::bracket);
    } else if (mark == "}" || mark == ")" || mark == "]") {
      pop();
    } else if (mark == "::") {
      at_ += 2;
    }
  }

  bool begins_item() const {
    return open_.back().kind == Open::Kind::table &&
           (peek(-1).is("{") || peek(-1).is(",") || peek(-1).is(";"));
  }

  // The line at which Lua sees the call of `a.b "name" {`: that of its first name.
  int statement_of_table() const {
    std::ptrdiff_t back = -1;
    if (peek(back).is_text()) --back;
    if (!peek(back).is_name()) return 0;
    while (peek(back - 1).is(".") && peek(back - 2).is_name()) back -= 2;
    return peek(back).line;
  }

  void key() {
    Open& table = open_.back();
    const std::string name(here().text);
    if (!table.keys.insert(here().text).second)
      fault(here().line, "the field `" + name + "` stands twice in one table",
            "Lua would keep one of them: take one away");
    if (table.statement > 0 && here().line != table.statement)
      result_.field_lines.push_back({table.statement, here().line, name});
  }

  void name() {
    if (peek(-1).is(".") || peek(-1).is(":")) return;
    if (begins_item() && peek(1).is("=")) return key();
    if (Local* local = find(here().text)) {
      if (peek(1).is("=") && open_.back().kind == Open::Kind::block) {
        const Local::Kind before = local->kind;
        local->kind = Local::Kind::plain;
        value_of(*local, 2, before == Local::Kind::handle ? before : Local::Kind::maybe);
      } else if (local->kind == Local::Kind::outputs) {
        when_use();
      } else if (local->kind != Local::Kind::plain && !in_later_function()) {
        tested(*local);
      }
      return;
    }
    global();
  }

  void global() {
    const std::string name(here().text);
    const bool known = globals_.count(name) > 0;
    if (peek(1).is("=") && open_.back().kind == Open::Kind::block) {
      if (known)
        fault(here().line, "`" + name + "` cannot be written to",
              "choose another name, and write `local` before it");
      else
        fault(here().line, "`" + name + "` would be a global", "write `local " + name + " = ...`");
    } else if (name == "inputs" && peek(1).is(".") && peek(2).is_name()) {
      const std::string field(peek(2).text);
      fault(here().line, "`inputs." + field + "` is not there: inputs { ... } returns the values",
            "write `local input = inputs { ... }`, then input." + field);
    } else if (!known) {
      const std::string why = why_absent(name);
      if (!why.empty()) return fault(here().line, "`" + name + "` is not there", why);
      std::vector<std::string> names(globals_.begin(), globals_.end());
      for (const Open& open : open_)
        for (const Local& local : open.locals) names.push_back(std::string(local.name));
      const std::string near = near_name(name, names);
      fault(here().line, "nothing is named `" + name + "`",
            near.empty() ? "a text stands in quotes; a name must be a local above this line"
                         : "did you mean `" + near + "`?");
    }
  }

  // At a local that holds a step or a value not yet known.
  void tested(const Local& local) {
    const bool output = local.kind != Local::Kind::late && peek(1).is(".") && peek(2).is_name();
    if (!output && local.kind == Local::Kind::maybe) return;
    const Token& after = peek(output ? 3 : 1);
    const Token& before = peek(-1);
    const bool compared = after.is("==") || after.is("~=") || before.is("==") || before.is("~=");
    const bool asked = after.is("and") || after.is("or") || after.is("then") || before.is("not") ||
                       before.is("if") || before.is("elseif") || before.is("while") || before.is("until");
    if (!compared && !asked) return;
    const std::string text = std::string(local.name) + (output ? "." + std::string(peek(2).text) : "");
    if (!output && local.kind == Local::Kind::handle)
      return fault(here().line,
                   "`" + text + "` is a step: " + (compared ? "comparing" : "testing") + " it tells nothing",
                   "name the output that you mean, in when = function(o) ... end");
    const std::string step = local.step.empty() ? "STEP" : std::string(local.step);
    const std::string field(output ? peek(2).text : local.output);
    const bool plain = step.find_first_of("-.") == std::string::npos;
    const std::string path =
        (plain ? "o." + step : "o[\"" + step + "\"]") + "." + (field.empty() ? "OUTPUT" : field);
    fault(here().line,
          "`" + text + "` is not known while the runbook is read, and cannot be " +
              (compared ? "compared" : "tested"),
          "let the step that depends on it decide: when = function(o) return " + path +
              (compared ? " == ..." : "") + " end");
  }

  // `o.STEP.OUTPUT` or `o["STEP"].OUTPUT`.
  void when_use() {
    Scan::WhenUse use{0, here().line, "", ""};
    for (auto open = open_.rbegin(); open != open_.rend() && use.function_line == 0; ++open)
      for (const Local& local : open->locals)
        if (local.kind == Local::Kind::outputs && local.name == here().text)
          use.function_line = open->function_line;
    std::ptrdiff_t next = 1;
    if (peek(1).is(".") && peek(2).is_name()) {
      use.step = peek(2).text;
      next = 3;
    } else if (peek(1).is("[") && peek(2).is_text() && peek(3).is("]")) {
      use.step = peek(2).text;
      next = 4;
    } else {
      return;
    }
    if (peek(next).is(".") && peek(next + 1).is_name()) use.output = peek(next + 1).text;
    result_.when_uses.push_back(std::move(use));
  }

  struct Loop {
    std::size_t depth;
    std::vector<Token> names;
  };

  std::string file_;
  const std::set<std::string>& families_;
  std::set<std::string, std::less<>> globals_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::vector<Open> open_;
  std::vector<Loop> loops_;
  Scan result_;
};

}  // namespace

int Scan::line_of(int statement, const std::string& field) const {
  for (const FieldLine& known : field_lines)
    if (known.statement == statement && known.name == field) return known.line;
  return statement;
}

Scan scan(const SourceFile& source, const std::set<std::string>& families) {
  return Scanner(source, families).run();
}

}  // namespace relight::lang
