#include "runner/cli/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "runner/engine/run_folder.h"
#include "runner/step/schema.h"
#include "runner/sys/files.h"

namespace relight {

namespace {

void add_run(CLI::App* command, Options& options) {
  command->add_option("RUN", options.run, "a run's id, a unique start of it; nothing: the latest")
      ->type_name("");
}

void add_depth(CLI::App* command, Options& options, const std::string& doc) {
  command
      ->add_option_function<std::string>(
          "--depth", [&](const std::string& depth) { options.full = depth == "full"; }, doc)
      ->check(CLI::IsMember({"quick", "full"}).description(""))
      ->type_name("quick|full");
}

void add_runbook(CLI::App* command, Options& options, bool looks = true, bool json = true) {
  command->add_option("RUNBOOK", options.runbook, "the runbook, a Lua file")->required()->type_name("");
  command->add_option("--set", options.sets, "an input; a secret is env:VARIABLE or file:PATH")
      ->allow_extra_args(false)
      ->type_name("NAME=VALUE");
  command->add_option("--inputs", options.inputs_file, "a file of inputs; --set wins over it")
      ->type_name("FILE.json");
  if (looks) add_depth(command, options, "how closely to look (quick)");
  if (json) command->add_flag("--json", options.json, "print JSON");
}

void add_going(CLI::App* command, Options& options) {
  command->add_option("--jobs", options.jobs, "how many steps may run at once (4)")
      ->check(CLI::Range(1, 256).description(""))
      ->type_name("N");
  command->add_flag("--yes", options.yes, "answer relight's own questions; never an approval");
  command->add_option("--approve", options.approvals, "give this approval")
      ->allow_extra_args(false)
      ->type_name("NAME");
}

void add_commands(CLI::App& app, Options& options) {
  CLI::App* plan = app.add_subcommand("plan", "say what a runbook would do, and touch nothing");
  add_runbook(plan, options);
  plan->add_flag("--check-secrets", options.check_secrets, "read secrets that run a command, too");

  CLI::App* rehearse = app.add_subcommand("rehearse", "simulate a runbook, killed wherever it can be");
  add_runbook(rehearse, options, false);
  rehearse->add_option("--seed", options.seed, "what durations and kills are drawn from (1)")->type_name("N");

  CLI::App* run = app.add_subcommand("run", "plan a runbook, then carry it out");
  add_runbook(run, options);
  add_going(run, options);

  CLI::App* resume = app.add_subcommand("resume", "go on with a run after its last checkpoint");
  add_run(resume, options);
  add_going(resume, options);
  resume->add_flag("--json", options.json, "print JSON");
  resume->add_option("--amend", options.amend, "go on with this mended runbook")->type_name("RUNBOOK");
  resume->add_option("--skip", options.skip, "leave this step out; needs --because")
      ->allow_extra_args(false)
      ->type_name("STEP");
  resume->add_option("--because", options.because, "why it is left out, for the journal")
      ->allow_extra_args(false)
      ->type_name("TEXT");
  resume->add_option("--again", options.again, "a step in doubt: apply it again")
      ->allow_extra_args(false)
      ->type_name("STEP");
  resume->add_option("--done", options.done, "a step in doubt: it is done")
      ->allow_extra_args(false)
      ->type_name("STEP");

  CLI::App* rollback = app.add_subcommand("rollback", "put back what a run changed, the last step first");
  add_run(rollback, options);
  rollback->add_option("--to", options.to, "the step that stays: undo only behind it")->type_name("STEP");
  rollback->add_option("--done", options.done, "this step was put back by hand")
      ->allow_extra_args(false)
      ->type_name("STEP");
  rollback->add_flag("--yes", options.yes, "answer relight's own questions with yes");
  rollback->add_flag("--json", options.json, "print JSON");

  CLI::App* abandon = app.add_subcommand("abandon", "give up a run and its targets; undoes nothing");
  abandon->add_option("RUN", options.run, "the run's id, or a unique start of it")->required()->type_name("");

  CLI::App* status = app.add_subcommand("status", "where a run stands, step by step");
  add_run(status, options);
  status->add_flag("--json", options.json, "print JSON");

  CLI::App* log = app.add_subcommand("log", "the journal of a run, or what a step printed");
  add_run(log, options);
  log->add_option("STEP", options.step, "the step whose output to print")->type_name("");

  CLI::App* report = app.add_subcommand("report", "what was done, with RTO and RPO");
  add_run(report, options);
  report->add_option("--format", options.format, "how to print it")
      ->check(CLI::IsMember({"text", "json"}).description(""))
      ->type_name("text|json");
  report->add_option("--out", options.out, "write it to this file")->type_name("FILE");

  CLI::App* keep = app.add_subcommand("keep", "kept copies: whose, how big, how old");
  keep->add_option("--drop", options.drop, "free what this run keeps")->type_name("RUN");
  keep->add_flag("--yes", options.yes, "answer relight's own questions with yes");

  CLI::App* verify = app.add_subcommand("verify", "would this backup restore? Checks it without restoring");
  verify->add_option("BACKUP", options.backup, "the folder of a recovery set")->required()->type_name("");
  add_depth(verify, options, "how closely to look (full)");
  verify
      ->add_option("--passphrase-file", options.passphrase_file,
                   "is what this file holds the passphrase that it was sealed with?")
      ->type_name("FILE");
  verify->preparse_callback([&](std::size_t) { options.full = true; });
  verify->add_flag("--json", options.json, "print JSON");

  CLI::App* peek = app.add_subcommand("peek", "pull a few rows out of a backup, without a rebuild");
  add_runbook(peek, options, true, false);
  peek->add_option("--step", options.step, "the step whose recovery it is, where there are several")
      ->type_name("STEP");
  peek->add_option("--to", options.to, "another moment than the runbook's")->type_name("MOMENT");
  peek->add_option("--database", options.database, "another database of the cluster than the runbook's")
      ->type_name("NAME");
  peek->add_option("--table", options.table, "the table whose rows are wanted, as CSV")
      ->type_name("SCHEMA.TABLE");
  peek->add_option("--where", options.where, "only the rows for which this is true")->type_name("SQL");
  peek->add_option("--sql", options.sql, "or a query of your own")->type_name("QUERY");
  peek->add_option("--out", options.out, "write the rows to this file, not to stdout")->type_name("FILE");
  peek->add_option("--into", options.into, "where the copy lies meanwhile (below the state folder)")
      ->type_name("DIR");

  CLI::App* window = app.add_subcommand("window", "from when to when could this backup be recovered?");
  window
      ->add_option("BACKUP", options.backup,
                   "a recovery set, a folder of base backups and WAL, or a repository of them")
      ->required()
      ->type_name("");
  add_depth(window, options, "how closely to look (quick)");
  window->add_option("--around", options.around, "list the large deletes and drops near this moment")
      ->type_name("MOMENT");
  window->add_flag("--json", options.json, "print JSON");

  CLI::App* steps = app.add_subcommand("steps", "the step types, or one of them in full");
  steps->add_option("TYPE", options.step, "a type, or a family")->type_name("");

  CLI::App* help = app.add_subcommand("help", "this text, or a command's own");
  help->add_option("COMMAND", options.step, "the command")->type_name("");
  for (CLI::App* command : app.get_subcommands({})) command->footer("");
}

const char* const footer =
    "Exit codes:\n"
    "    0  done\n"
    "    1  a step failed: mend it and `relight resume`, or `relight rollback`;\n"
    "       verify, rehearse: it would not restore, or not come back;\n"
    "       window: there is none, or a gap\n"
    "    2  nothing was started: usage, runbook, inputs, or something is missing\n"
    "    3  failed and rolled back\n"
    "    4  needs a person: a step in doubt, a damaged journal, a failed rollback\n"
    "    5  another run holds a target\n"
    "    6  waits for an approval\n"
    "    7  done, but over budget, or with an error that nobody waived\n"
    "  130  interrupted, can be resumed\n";

// The names of the options that a command takes, its own and everybody's.
std::vector<std::string> options_of(const CLI::App& app, const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* one : {&command, &app})
    for (const CLI::Option* option : one->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// The first word that is written as an option and is none; empty: there is none.
std::string unknown_option(const std::vector<std::string>& words, const std::vector<std::string>& names) {
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    if (name == "--") break;
    if (name.starts_with("--") && std::find(names.begin(), names.end(), name) == names.end()) return name;
  }
  return "";
}

// The command as typed, behind what may stand before it.
std::string first_word(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--state")
      ++i;
    else if (!words[i].starts_with("-"))
      return words[i];
  }
  return "";
}

int mistake(const CLI::App& app, const std::vector<std::string>& words, const CLI::ParseError& error) {
  const std::string first = first_word(words);
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  const bool is_command = std::find(names.begin(), names.end(), first) != names.end();
  if (!first.empty() && !is_command) {
    const std::string near = near_name(first, names);
    std::fprintf(
        stderr, "relight: there is no command `%s`\n  hint: %s\n", first.c_str(),
        near.empty() ? "`relight help` lists them" : ("did you mean `relight " + near + "`?").c_str());
    return 2;
  }
  const std::string see = "`relight help" + (is_command ? " " + first : "") + "` shows what it takes";
  std::string what = error.what(), hint = see;
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> known = options_of(app, is_command ? *app.get_subcommand(first) : app);
    if (const std::string unknown = unknown_option(words, known); !unknown.empty()) {
      what = "there is no option " + unknown + (is_command ? " of `relight " + first + "`" : "");
      if (const std::string near = near_name(unknown, known); !near.empty())
        hint = "did you mean " + near + "?";
    } else {
      what = "there are more words than it takes" + what.substr(std::min(what.find(':'), what.size()));
    }
  }
  std::fprintf(stderr, "relight: %s\n  hint: %s\n", what.c_str(), hint.c_str());
  return 2;
}

}  // namespace

Parsed parse_command_line(int argc, char** argv) {
  Parsed parsed;
  Options& options = parsed.options;
  CLI::App app(
      "relight brings a lost host back by a runbook, step by step; it can always say\nwhat it did, go on "
      "after a crash, or go back.",
      "relight");
  app.require_subcommand(0, 1);
  app.fallthrough();
  app.set_version_flag("--version", "relight " RELIGHT_VERSION);
  app.add_option("--state", options.state, "the state folder; $RELIGHT_STATE")->type_name("DIR");
  app.footer(footer);
  app.get_formatter()->column_width(26);
  add_commands(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    parsed.exit = 0;
    return parsed;
  } catch (const CLI::CallForVersion&) {
    std::puts("relight " RELIGHT_VERSION);
    parsed.exit = 0;
    return parsed;
  } catch (const CLI::ParseError& error) {
    parsed.exit = mistake(app, {argv + 1, argv + argc}, error);
    return parsed;
  }
  const auto chosen = app.get_subcommands();
  options.command = chosen.empty() ? "help" : chosen[0]->get_name();
  if (options.command == "help") {
    const CLI::App* about = options.step.empty() ? &app : nullptr;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
      if (command->get_name() == options.step) about = command;
    if (about == nullptr) {
      std::fprintf(stderr, "relight: there is no command `%s`\n  hint: `relight help` lists them\n",
                   options.step.c_str());
      parsed.exit = 2;
      return parsed;
    }
    app.clear();  // or the text would be that of `help` itself
    std::fputs(about->help(about == &app ? "" : "relight").c_str(), stdout);
    parsed.exit = 0;
    return parsed;
  }
  options.state = options.state.empty() ? default_state_folder() : sys::absolute(options.state);
  if (options.skip.size() != options.because.size()) {
    std::fputs(
        "relight: every --skip STEP needs its --because TEXT\n  hint: the reason goes into the journal\n",
        stderr);
    parsed.exit = 2;
  }
  return parsed;
}

}  // namespace relight
