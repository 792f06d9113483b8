// pmshelf session ls | kick
#include <memory>

#include "client/cli/commands/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "client/cli/views.h"

namespace pmshelf::cli {
namespace {

Result<int> list(Context& context) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const auto sessions, client.list_sessions());
  if (context.json()) {
    context.print_document(Json{{"sessions", to_json(sessions)}});
  } else if (context.options().quiet) {
    for (const SessionStat& session : sessions) context.print(session.id + "\n");
  } else {
    context.print(sessions_table(sessions));
  }
  return kExitOk;
}

Result<int> kick(Context& context, const std::string& id) {
  PMSHELF_TRY(context.require_consent());
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const auto sessions, client.list_sessions());
  PMSHELF_TRY_ASSIGN(const SessionStat session, find_session(sessions, id));
  if (!context.ask("end the session of " + session.principal + " (" + session.client_name +
                   ") with its " + counted(session.grants, "grant") + " and " +
                   counted(session.locks, "lock") + "?")) {
    return kExitFailed;
  }
  PMSHELF_TRY(client.kick_session(session.id));
  if (context.json()) context.print_document(Json{{"kicked", Json::array({session.id})}});
  context.note("session " + session.id + " of " + escape(session.principal) + " ended");
  return kExitOk;
}

}  // namespace

void add_session_commands(CLI::App& root, Chosen& chosen) {
  CLI::App& session = add_group(root, "session", "Who is connected");
  add_command(
      session, chosen, "ls", "List your sessions; administrators see all (--quiet: whole ids only)",
      "  pmshelf session ls\n  pmshelf session ls --json | jq '.sessions[].principal'", list);
  const auto id = std::make_shared<std::string>();
  CLI::App& kick_command = add_command(
      session, chosen, "kick",
      "End a session: its grants are revoked, its locks freed, its staged regions dropped. Asks "
      "first. The client may come back; 'token revoke' and 'shelf acl' keep it out",
      "  pmshelf session kick 3f9a2c01", [id](Context& context) { return kick(context, *id); });
  add_argument(kick_command, "ID", *id, "Its id, or the first digits of it");
}

}  // namespace pmshelf::cli
