// pmshelf region put | get | cp
#include "client/cli/transfer.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "client/cli/commands/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/local_file.h"
#include "client/cli/progress.h"
#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct TransferArguments {
  std::string path, other, to_target, to_token_file;
  std::vector<std::string> attributes;
  uint64_t bytes = 0;
  bool bytes_given = false;
  bool must_be_new = false;
};

using Arguments = std::shared_ptr<TransferArguments>;

size_t terminal_columns() {
  winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 79;
  return size.ws_col - 1u;
}

// The progress line on standard error, and the look at Ctrl-C. One transfer.
class Meter {
 public:
  Meter(const Context& context, const std::string& label)
      : label_(label),
        shows_(!context.options().quiet && ::isatty(STDERR_FILENO) == 1),
        start_(Clock::now()) {}
  ~Meter() { clear(); }

  Status update(uint64_t done_bytes, uint64_t total_bytes) {
    if (shows_) {
      if (!progress_) progress_.emplace(label_, total_bytes, start_);
      const auto line = progress_->update(done_bytes, Clock::now(), terminal_columns());
      if (line) std::fprintf(stderr, "\r%s\033[K", line->c_str());
    }
    return Interrupt::check();
  }
  OnProgress callback() {
    return [this](uint64_t done, uint64_t total) { return update(done, total); };
  }
  std::chrono::nanoseconds elapsed() const { return Clock::now() - start_; }
  void clear() {
    if (progress_ && progress_->shown()) std::fputs("\r\033[K", stderr);
    progress_.reset();
  }

 private:
  std::string label_;
  bool shows_;
  Clock::time_point start_;
  std::optional<Progress> progress_;
};

int report(Context& context, Meter& meter, const std::string& verb, const RegionPath& path,
           uint64_t bytes, bool aside) {
  meter.clear();
  const std::string name = path.shelf + "/" + path.region;
  if (context.json()) {
    context.print_document(
        Json{{"shelf", path.shelf},
             {"region", path.region},
             {"bytes", bytes},
             {"seconds", std::chrono::duration<double>(meter.elapsed()).count()}});
    return kExitOk;
  }
  const std::string line =
      verb + " " + escape(name) + ": " + transfer_summary(bytes, meter.elapsed());
  if (aside) {
    context.note_aside(line);
  } else {
    context.note(line);
  }
  return kExitOk;
}

Result<Attributes> parse_attributes(const std::vector<std::string>& texts) {
  Attributes attributes;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(Code::kInvalidArgument, "'" + escape(text) + "' is not of the form KEY=VALUE");
    }
    attributes[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return attributes;
}

// An input whose length is known: as it is, or spooled first when it is a pipe.
// `head` takes what had to be read to find out.
struct Input {
  FileSource file;
  std::vector<std::byte> head;  // comes before what `file` still has
  uint64_t bytes = 0;
};

Result<Input> open_input(const TransferArguments& arguments) {
  PMSHELF_TRY_ASSIGN(FileSource file, FileSource::open(arguments.other));
  if (file.known_bytes()) {
    const uint64_t known = *file.known_bytes();
    if (arguments.bytes_given && arguments.bytes != known) {
      return Error(Code::kInvalidArgument, "--bytes says " + std::to_string(arguments.bytes) +
                                               ", but " + file.name() + " has " +
                                               std::to_string(known));
    }
    return Input{std::move(file), {}, known};
  }
  if (arguments.bytes_given) return Input{std::move(file), {}, arguments.bytes};
  std::vector<std::byte> head(kPumpChunkBytes);
  PMSHELF_TRY_ASSIGN(const size_t got, file.read_up_to(head));
  if (got == head.size()) {
    PMSHELF_TRY_ASSIGN(FileSource spooled, spool(file, head));
    const uint64_t bytes = *spooled.known_bytes();
    return Input{std::move(spooled), {}, bytes};
  }
  head.resize(got);
  return Input{std::move(file), std::move(head), got};
}

// With --bytes a pipe must end where it was said to.
Status check_end(FileSource& file, uint64_t bytes) {
  if (file.known_bytes()) return {};
  std::byte extra[1];
  PMSHELF_TRY_ASSIGN(const size_t got, file.read_up_to(extra));
  if (got == 0) return {};
  return Error(Code::kIo, file.name() + ": is longer than the " + std::to_string(bytes) +
                              " bytes that --bytes says");
}

ValueSource value_source(Input& input) {
  ValueSource source;
  source.bytes = input.bytes;
  source.read = [&input](uint64_t offset, std::span<std::byte> target) {
    return run_aside([&input, offset, target]() -> Status {
      if (!input.head.empty()) {
        std::copy(input.head.begin(), input.head.end(), target.begin());
        return {};
      }
      PMSHELF_TRY(input.file.read_exactly(target));
      const bool last = offset + target.size() == input.bytes;
      return last ? check_end(input.file, input.bytes) : Status();
    });
  };
  return source;
}

Result<int> put(Context& context, const TransferArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const RegionPath path, parse_region_path(arguments.path));
  NewValue value{path.region, {}, arguments.must_be_new};
  PMSHELF_TRY_ASSIGN(value.attributes, parse_attributes(arguments.attributes));
  Interrupt::install();
  PMSHELF_TRY_ASSIGN(Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(path.shelf));
  PMSHELF_TRY_ASSIGN(Input input, open_input(arguments));
  Meter meter(context, "put " + escape(arguments.path));
  const Status stored = store_value(shelf, value, value_source(input), meter.callback());
  client.close();  // what was staged and not committed goes now
  PMSHELF_TRY(stored);
  return report(context, meter, "put", path, input.bytes, false);
}

Result<int> get(Context& context, const TransferArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const RegionPath path, parse_region_path(arguments.path));
  const bool to_stdout = arguments.other == "-";
  if (to_stdout) PMSHELF_TRY(refuse_json(context, "the value goes to standard output"));
  if (!to_stdout) Interrupt::install();
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(path.shelf));
  std::optional<FileSink> sink;  // made by the first bytes: a missing region leaves no file
  const auto open_sink = [&]() -> Status {
    if (sink) return {};
    PMSHELF_TRY_ASSIGN(FileSink opened, FileSink::open(arguments.other));
    sink.emplace(std::move(opened));
    return {};
  };
  const auto write = [&](uint64_t, std::span<const std::byte> bytes) {
    return run_aside([&open_sink, &sink, bytes]() -> Status {
      PMSHELF_TRY(open_sink());
      return sink->write(bytes);
    });
  };
  Meter meter(context, "get " + escape(arguments.path));
  PMSHELF_TRY_ASSIGN(const uint64_t bytes,
                     fetch_value(shelf, path.region, write, meter.callback()));
  PMSHELF_TRY(Interrupt::check());
  PMSHELF_TRY(sink->commit());
  return report(context, meter, "got", path, bytes, to_stdout);
}

// The source of a copy, opened once: its bytes and attributes belong together.
Result<std::pair<Region, RegionStat>> open_for_copy(const Shelf& shelf, const std::string& name) {
  PMSHELF_TRY_ASSIGN(const Region region, shelf.open_region(name, kRead));
  PMSHELF_TRY_ASSIGN(RegionStat stat, shelf.stat_region(name));
  if (stat.id != region.id()) {
    return Error(Code::kStaleGrant, "region '" + name + "' was replaced while it was opened");
  }
  return std::pair(region, std::move(stat));
}

Result<int> copy(Context& context, const TransferArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const RegionPath from, parse_region_path(arguments.path));
  PMSHELF_TRY_ASSIGN(const RegionPath to, parse_region_path(arguments.other));
  Interrupt::install();
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  Client other = client;
  if (!arguments.to_target.empty()) {
    PMSHELF_TRY_ASSIGN(other, context.connect(arguments.to_target, arguments.to_token_file));
  }
  PMSHELF_TRY_ASSIGN(const Shelf source_shelf, client.open_shelf(from.shelf));
  PMSHELF_TRY_ASSIGN(const auto opened, open_for_copy(source_shelf, from.region));
  PMSHELF_TRY_ASSIGN(const Shelf target_shelf, other.open_shelf(to.shelf));
  const Region& region = opened.first;
  const NewValue value{to.region, opened.second.attributes, arguments.must_be_new};
  ValueSource source{region.bytes(), [&region](uint64_t offset, std::span<std::byte> target) {
                       return region.read_async(offset, target);
                     }};
  Meter meter(context, "copy " + escape(arguments.path));
  const Status stored = store_value(target_shelf, value, source, meter.callback());
  other.close();
  PMSHELF_TRY(stored);
  return report(context, meter, "copied to", to, region.bytes(), false);
}

CLI::App& add(CLI::App& region, Chosen& chosen, const std::string& name,
              const std::string& description, const std::string& examples,
              Result<int> (*run)(Context&, const TransferArguments&), const Arguments& arguments) {
  return add_command(region, chosen, name, description, examples,
                     [arguments, run](Context& context) { return run(context, *arguments); });
}

void add_put(CLI::App& region, Chosen& chosen, const Arguments& arguments) {
  CLI::App& command = add(
      region, chosen, "put",
      "Store a file or standard input as a region, durably. An existing region is replaced in one "
      "step with its attributes: others see the old value or the new one, never a mix. A pipe of "
      "more than 8 MiB is kept in an unnamed file in $TMPDIR (else /var/tmp) until its length is "
      "known, unless --bytes says it",
      "  pmshelf region put train/w w.npy\n"
      "  tar c src | pmshelf region put backup/src.tar -\n"
      "  zcat big.gz | pmshelf region put train/big - --bytes 10GiB --attribute from=big.gz",
      put, arguments);
  add_argument(command, "SHELF/REGION", arguments->path, "Where to");
  add_argument(command, "FILE", arguments->other, "What; '-' is standard input");
  command
      .add_option("--attribute,-a", arguments->attributes,
                  "An attribute to store with it; may be repeated")
      ->type_name("KEY=VALUE")
      ->take_all()
      ->allow_extra_args(false);
  command
      .add_option_function<uint64_t>(
          "--bytes",
          [arguments](const uint64_t& bytes) {
            arguments->bytes = bytes;
            arguments->bytes_given = true;
          },
          "The exact length of the input; another length is an error and stores nothing")
      ->transform(size_value())
      ->type_name("SIZE");
  command.add_flag("--new", arguments->must_be_new, "Fail if the region exists");
}

}  // namespace

void add_transfer_commands(CLI::App& region, Chosen& chosen) {
  const auto arguments = std::make_shared<TransferArguments>();
  add_put(region, chosen, arguments);

  CLI::App& get_command =
      add(region, chosen, "get",
          "Write a region's value to a file or standard output. The file appears when it is "
          "complete; an existing one is replaced then",
          "  pmshelf region get train/w w.npy\n"
          "  pmshelf region get backup/src.tar - | tar t",
          get, arguments);
  add_argument(get_command, "SHELF/REGION", arguments->path, "What");
  add_argument(get_command, "FILE", arguments->other, "Where to; '-' is standard output");

  CLI::App& copy_command =
      add(region, chosen, "cp",
          "Copy a region with its attributes, also to another shelf or daemon. An existing region "
          "is replaced in one step",
          "  pmshelf region cp train/w train/w.backup --new\n"
          "  pmshelf region cp train/w archive/w-2025 --to-target other-host",
          copy, arguments);
  add_argument(copy_command, "SHELF/REGION", arguments->path, "What");
  add_argument(copy_command, "SHELF/NEW", arguments->other, "Where to");
  copy_command
      .add_option("--to-target", arguments->to_target,
                  "The daemon that the copy goes to, written as for --target")
      ->type_name("TARGET");
  copy_command.add_option("--to-token-file", arguments->to_token_file, "The token for that daemon")
      ->type_name("FILE");
  copy_command.add_flag("--new", arguments->must_be_new, "Fail if the target exists");
}

}  // namespace pmshelf::cli
