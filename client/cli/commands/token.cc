// pmshelf token create | ls | revoke
#include <memory>

#include "client/cli/commands/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "client/cli/views.h"

namespace pmshelf::cli {
namespace {

constexpr uint64_t kLifetimeMaxMs = 3650ULL * 86'400'000;

struct TokenArguments {
  TokenOptions token;
  std::string rights = "rwa";
  bool for_self = false;
};

using Arguments = std::shared_ptr<TokenArguments>;

Result<int> create(Context& context, const TokenArguments& arguments) {
  TokenOptions token = arguments.token;
  PMSHELF_TRY_ASSIGN(token.rights, parse_rights(arguments.rights));
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  if (arguments.for_self) {
    PMSHELF_TRY_ASSIGN(const DaemonStatus status, client.status());
    token.principal = status.principal;
  }
  PMSHELF_TRY_ASSIGN(const std::string secret, client.create_token(token));
  const std::string principal = token.principal.empty() ? "token:" + token.name : token.principal;
  if (context.json()) {
    context.print_document(Json{{"name", token.name},
                                {"principal", principal},
                                {"shelves", token.shelves},
                                {"rights", rights_text(token.rights)},
                                {"lifetime_ms", token.lifetime_ms},
                                {"token", secret}});
    return kExitOk;
  }
  context.print(secret + "\n");
  context.note_aside("pmshelf: token " + escape(token.name) + " acts as " + escape(principal) +
                     "; it is shown only now, keep it in a file that only its user can read");
  return kExitOk;
}

Result<int> list(Context& context) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const auto tokens, client.list_tokens());
  if (context.json()) {
    context.print_document(Json{{"tokens", to_json(tokens)}});
  } else if (context.options().quiet) {
    for (const TokenStat& token : tokens) context.print(escape(token.name) + "\n");
  } else {
    context.print(tokens_table(tokens));
  }
  return kExitOk;
}

Result<int> revoke(Context& context, const TokenArguments& arguments) {
  PMSHELF_TRY(context.require_consent());
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  const std::string& name = arguments.token.name;
  if (!context.ask("revoke token " + name + " for good?")) return kExitFailed;
  PMSHELF_TRY(client.revoke_token(name));
  if (context.json()) context.print_document(Json{{"revoked", Json::array({name})}});
  context.note("token " + escape(name) + " revoked");
  return kExitOk;
}

void add_create(CLI::App& token, Chosen& chosen, const Arguments& arguments) {
  CLI::App& command =
      add_command(token, chosen, "create",
                  "Make a token for use with --token-file or PMSHELF_TOKEN. It is printed once",
                  "  (umask 077; pmshelf token create ci --shelves 'ci-*' --rights rw --lifetime "
                  "30d >ci.token)\n"
                  "  pmshelf token create laptop --self >laptop.token",
                  [arguments](Context& context) { return create(context, *arguments); });
  add_argument(command, "NAME", arguments->token.name, "Its name");
  command.add_flag("--self", arguments->for_self,
                   "Acts as you; default: as token:NAME, which only administrators may make");
  command
      .add_option("--shelves", arguments->token.shelves,
                  "Only shelves whose names match; default: all")
      ->type_name("GLOB");
  command
      .add_option("--rights", arguments->rights,
                  "At most these rights, whatever access lists give: r, w, a; default: rwa. With a "
                  "it may create shelves")
      ->type_name("RIGHTS");
  command.add_option("--lifetime", arguments->token.lifetime_ms, "E.g. 12h, 30d; default: no end")
      ->transform(duration_value(1000, kLifetimeMaxMs))
      ->type_name("DURATION");
}

}  // namespace

void add_token_commands(CLI::App& root, Chosen& chosen) {
  CLI::App& token = add_group(root, "token", "Secrets that let clients in from elsewhere");
  const auto arguments = std::make_shared<TokenArguments>();
  add_create(token, chosen, arguments);
  add_command(token, chosen, "ls", "List your tokens; administrators see all (never the secrets)",
              "  pmshelf token ls", list);
  CLI::App& revoke_command =
      add_command(token, chosen, "revoke",
                  "Revoke a token for good: nobody can open a session with it any more. Asks first",
                  "  pmshelf token revoke ci",
                  [arguments](Context& context) { return revoke(context, *arguments); });
  add_argument(revoke_command, "NAME", arguments->token.name, "Its name");
}

}  // namespace pmshelf::cli
