#include "steps/postgres/lib/rename_definition.h"

#include <algorithm>

#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::postgres {
namespace {

using sys::quote_identifier;
using sys::quote_literal;

// Whole rows as JSON: the columns of pg_database differ between versions.
constexpr const char* definition_query = R"(
SELECT (to_jsonb(d) || jsonb_build_object(
  'owner', pg_get_userbyid(d.datdba),
  'encoding', pg_encoding_to_char(d.encoding),
  'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace),
  'comment', shobj_description(d.oid, 'pg_database'),
  'settings', (SELECT jsonb_agg(jsonb_build_object(
      'role', CASE WHEN setrole = 0 THEN NULL ELSE pg_get_userbyid(setrole) END, 'config', to_jsonb(setconfig))
      ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid),
  'rights', (SELECT jsonb_agg(jsonb_build_object(
      'to', CASE WHEN grantee = 0 THEN NULL ELSE pg_get_userbyid(grantee) END,
      'right', privilege_type, 'grantable', is_grantable)) FROM aclexplode(d.datacl)),
  'labels', (SELECT jsonb_agg(jsonb_build_object('provider', provider, 'label', label)) FROM pg_shseclabel
      WHERE objoid = d.oid AND classoid = 'pg_database'::regclass)))::text
FROM pg_database d WHERE d.datname = $1)";

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() ? "" : found->get<std::string>();
}

const Json& list_of(const Json& json, const char* key) {
  static const Json none = Json::array();
  const auto found = json.find(key);
  return found == json.end() || !found->is_array() ? none : *found;
}

// Settings whose value is a list of names, each quoted by itself: one text would be taken for one name.
bool is_name_list(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* list :
       {"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries",
        "shared_preload_libraries", "unix_socket_directories"})
    if (name == list) return true;
  return false;
}

// a, "b c", d -> each as a literal.
std::string literals_of(const std::string& value) {
  std::vector<std::string> items;
  std::size_t at = 0;
  while (at < value.size()) {
    std::string item;
    while (at < value.size() && (value[at] == ' ' || value[at] == ',')) ++at;
    if (at >= value.size()) break;
    if (value[at] == '"') {
      for (++at; at < value.size(); ++at) {
        if (value[at] == '"' && (++at >= value.size() || value[at] != '"')) break;
        item += value[at];
      }
    } else {
      while (at < value.size() && value[at] != ',') item += value[at++];
      item = sys::trim(item);
    }
    items.push_back(quote_literal(item));
  }
  return items.empty() ? "''" : sys::join(items, ", ");
}

bool names_mark(const std::string& config) {
  return config.starts_with(std::string(mark_setting) + "=");
}

std::string rendered(const SqlTokens& tokens, std::size_t from = 0) {
  std::string text;
  for (std::size_t i = from; i < tokens.size(); ++i) {
    if (!text.empty()) text += " ";
    switch (tokens[i].kind) {
      case SqlToken::Kind::name:
        text += quote_identifier(tokens[i].text);
        break;
      case SqlToken::Kind::literal:
        text += quote_literal(tokens[i].text);
        break;
      default:
        text += tokens[i].text;
        break;
    }
  }
  return text;
}

// Where the name of the database stands: after the word DATABASE.
std::size_t name_at(const SqlTokens& tokens) {
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
    if (tokens[i].is("database")) return i + 1;
  return tokens.size();
}

// Where CREATE DATABASE ... TABLESPACE = name has its three words; the end where it has none.
SqlTokens::const_iterator tablespace_at(const SqlTokens& tokens) {
  const std::size_t name = name_at(tokens);
  if (!tokens[0].is("create") || name >= tokens.size()) return tokens.end();
  return std::find_if(tokens.begin() + static_cast<std::ptrdiff_t>(name) + 1, tokens.end(),
                      [](const SqlToken& token) { return token.is("tablespace"); });
}

bool is_owner_change(const SqlTokens& tokens) {
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
    if (tokens[i].is("owner") && tokens[i + 1].is("to")) return true;
  return false;
}

}  // namespace

std::string set_clause(const std::string& config) {
  const std::size_t equals = config.find('=');
  const std::string name = config.substr(0, equals), value = config.substr(equals + 1);
  return "SET " + quote_identifier(name) + " TO " +
         (is_name_list(name) ? literals_of(value) : quote_literal(value));
}

Json database_definition(sys::Sql& sql, const std::string& name) {
  const sys::Rows rows = sql.query(definition_query, {name});
  return rows.rows.empty() ? Json(nullptr) : Json::parse(rows.one());
}

std::string creation(const std::string& name, const Json& definition, const std::string& owner) {
  std::string sql = "CREATE DATABASE " + quote_identifier(name) + " TEMPLATE template0 OWNER " +
                    quote_identifier(owner.empty() ? text_of(definition, "owner") : owner) + " ENCODING " +
                    quote_literal(text_of(definition, "encoding")) + " LC_COLLATE " +
                    quote_literal(text_of(definition, "datcollate")) + " LC_CTYPE " +
                    quote_literal(text_of(definition, "datctype"));
  const std::string provider = text_of(definition, "datlocprovider");
  std::string locale = text_of(definition, "daticulocale");  // 15 and 16; datlocale from 17 on
  if (locale.empty()) locale = text_of(definition, "datlocale");
  if (provider == "i") sql += " LOCALE_PROVIDER icu ICU_LOCALE " + quote_literal(locale);
  if (provider == "b") sql += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + quote_literal(locale);
  if (const std::string rules = text_of(definition, "daticurules"); !rules.empty())
    sql += " ICU_RULES " + quote_literal(rules);
  const std::string tablespace = text_of(definition, "tablespace");
  if (!tablespace.empty() && tablespace != "pg_default") sql += " TABLESPACE " + quote_identifier(tablespace);
  return sql;
}

std::vector<std::string> carried(const std::string& name, const Json& definition, const std::string& owner) {
  const std::string database = "DATABASE " + quote_identifier(name);
  const std::string new_owner = quote_identifier(owner.empty() ? text_of(definition, "owner") : owner);
  std::vector<std::string> sql{"ALTER " + database + " OWNER TO " + new_owner};

  // Rights that were never changed stay the default ones, as they are of the new database.
  if (!definition["datacl"].is_null()) {
    sql.push_back("REVOKE ALL ON " + database + " FROM PUBLIC, " + new_owner);
    for (const Json& right : list_of(definition, "rights")) {
      std::string to = right["to"].is_null() ? "PUBLIC" : quote_identifier(right["to"].get<std::string>());
      if (text_of(right, "to") == text_of(definition, "owner")) to = new_owner;
      sql.push_back("GRANT " + right["right"].get<std::string>() + " ON " + database + " TO " + to +
                    (right["grantable"].get<bool>() ? " WITH GRANT OPTION" : ""));
    }
  }
  sql.push_back("ALTER " + database + " CONNECTION LIMIT " +
                std::to_string(definition["datconnlimit"].get<int>()));
  if (definition["datistemplate"].get<bool>()) sql.push_back("ALTER " + database + " IS_TEMPLATE true");
  for (const Json& settings : list_of(definition, "settings"))
    for (const Json& config : settings["config"]) {
      const std::string text = config.get<std::string>();
      if (names_mark(text)) continue;
      const std::string whose =
          settings["role"].is_null()
              ? database
              : "ROLE " + quote_identifier(settings["role"].get<std::string>()) + " IN " + database;
      sql.push_back("ALTER " + whose + " " + set_clause(text));
    }
  if (const std::string comment = text_of(definition, "comment"); !comment.empty())
    sql.push_back("COMMENT ON " + database + " IS " + quote_literal(comment));
  for (const Json& label : list_of(definition, "labels"))
    sql.push_back("SECURITY LABEL FOR " + quote_identifier(label["provider"].get<std::string>()) + " ON " +
                  database + " IS " + quote_literal(label["label"].get<std::string>()));
  return sql;
}

std::string creation(const std::string& name, const std::vector<SqlTokens>& statements,
                     const std::string& owner) {
  std::string sql = "CREATE DATABASE " + quote_identifier(name);
  bool options = false;
  for (const SqlTokens& tokens : statements)
    if (tokens[0].is("create") && name_at(tokens) + 1 < tokens.size()) {
      sql += " " + rendered(tokens, name_at(tokens) + 1);
      options = true;
    }
  if (!options) sql += " TEMPLATE template0";
  if (!owner.empty()) sql += " OWNER = " + quote_identifier(owner);
  return sql;
}

std::string tablespace_of(const std::vector<SqlTokens>& statements) {
  for (const SqlTokens& tokens : statements)
    if (const auto at = tablespace_at(tokens); tokens.end() - at >= 3) return (at + 2)->text;
  return "";
}

std::vector<SqlTokens> without_tablespace(std::vector<SqlTokens> statements) {
  for (SqlTokens& tokens : statements)
    if (const auto at = tablespace_at(tokens); tokens.end() - at >= 3) tokens.erase(at, at + 3);
  return statements;
}

std::vector<std::string> carried(const std::string& name, const std::vector<SqlTokens>& statements,
                                 const std::string& owner) {
  std::vector<std::string> sql;
  for (SqlTokens tokens : statements) {
    const std::size_t at = name_at(tokens);
    if (tokens[0].is("create") || at >= tokens.size()) continue;
    if (!owner.empty() && is_owner_change(tokens)) continue;
    tokens[at] = {SqlToken::Kind::name, name};
    sql.push_back(rendered(tokens));
  }
  return sql;
}

}  // namespace relight::postgres
