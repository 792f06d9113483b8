#include "client/cli/exit_code.h"

#include "client/cli/text.h"

namespace pmshelf::cli {

ExitCode exit_code(Code code) {
  switch (code) {
    case Code::kOk:
      return kExitOk;
    case Code::kInvalidArgument:
      return kExitUsage;
    case Code::kUnavailable:
      return kExitUnreachable;
    case Code::kNotFound:
      return kExitNotFound;
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
      return kExitDenied;
    case Code::kAlreadyExists:
    case Code::kLocked:
    case Code::kBusy:
    case Code::kStaleGrant:
    case Code::kConflict:
      return kExitConflict;
    case Code::kNoSpace:
    case Code::kResourceExhausted:
      return kExitNoSpace;
    case Code::kCorrupt:
      return kExitDamage;
    case Code::kSessionExpired:
    case Code::kOutOfRange:
    case Code::kIo:
    case Code::kReadOnly:
    case Code::kUnknownOutcome:
    case Code::kDeadlineExceeded:
    case Code::kUnsupported:
    case Code::kInternal:
      break;
  }
  return kExitFailed;
}

std::string hint(const Error& error) {
  switch (error.code()) {
    case Code::kNotFound:
      return "'pmshelf shelf ls' and 'pmshelf region ls SHELF' show what you may see";
    case Code::kPermissionDenied:
      return "'pmshelf status' says who you are; the owner can give rights with 'pmshelf shelf "
             "acl'";
    case Code::kUnauthenticated:
      return "give a token with --token-file, PMSHELF_TOKEN or ~/.config/pmshelf/token";
    case Code::kAlreadyExists:
      return "choose another name, or erase or replace the existing one";
    case Code::kLocked:
      return "try again later, or wait for it with 'region lock --wait 30s'";
    case Code::kBusy:
      return "'pmshelf session ls' shows who is there; 'pmshelf session kick' ends a session";
    case Code::kNoSpace:
      return "'pmshelf shelf ls' and 'pmshelf pool ls' show what is free; erase regions, or grow "
             "with 'pmshelf shelf grow'";
    case Code::kUnavailable:
      return "start the daemon (systemctl start pmshelfd), or name one with --target HOST or "
             "--dir DIR";
    case Code::kStaleGrant:
      return "the region was replaced or erased meanwhile; run the command again";
    case Code::kSessionExpired:
      return "the daemon ended the session; run the command again";
    case Code::kConflict:
      return "somebody else changed it meanwhile; look again before repeating";
    case Code::kUnknownOutcome:
    case Code::kDeadlineExceeded:
      return "it may or may not have happened: look before repeating; --timeout gives more time";
    case Code::kCorrupt:
      return "'pmshelf pool check POOL' lists what is damaged";
    case Code::kReadOnly:
      return "'pmshelf shelf stat SHELF' says why it is read-only";
    case Code::kInternal:
      return "this is a bug of pmshelf: please report it with the daemon's log";
    case Code::kOk:
    case Code::kInvalidArgument:
    case Code::kResourceExhausted:
    case Code::kOutOfRange:
    case Code::kIo:
    case Code::kUnsupported:
      break;
  }
  return {};
}

std::string error_report(std::string_view what, const Error& error) {
  std::string text = "pmshelf: ";
  text += what;
  text += ": ";
  text += escape(error.message());
  text += '\n';
  if (const std::string cure = hint(error); !cure.empty()) text += "pmshelf: hint: " + cure + "\n";
  return text;
}

}  // namespace pmshelf::cli
