#include "runtime/native_sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace kiln {
namespace {

Error refused(const std::string& what) {
  return {ErrorCode::bad_option, "there is no sandbox: " + what + ": " + std::strerror(errno), ""};
}

Status limit(const Sandbox& s) {
  const struct {
    __rlimit_resource_t what;
    int64_t most;
  } limits[] = {{RLIMIT_AS, s.memory_bytes},
                {RLIMIT_CPU, s.cpu_seconds},
                {RLIMIT_FSIZE, s.file_bytes},
                {RLIMIT_NOFILE, 64},
                {RLIMIT_CORE, 0},
                {RLIMIT_MEMLOCK, 0},
                {RLIMIT_MSGQUEUE, 0}};
  for (const auto& l : limits) {
    const rlimit both{static_cast<rlim_t>(l.most), static_cast<rlim_t>(l.most)};
    if (setrlimit(l.what, &both) != 0) return refused("a limit cannot be set");
  }
  return ok();
}

// -- files, by Landlock

constexpr uint64_t kReadFile = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t kTruncate = uint64_t{1} << 14;  // of its third version, which headers may not know yet
constexpr uint64_t kMakeFiles = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;

class File {
 public:
  explicit File(int64_t number) : number_(static_cast<int>(number)) {}
  File(const File&) = delete;
  ~File() {
    if (number_ >= 0) close(number_);
  }
  int number() const { return number_; }

 private:
  int number_;
};

Status allow(const File& rules, const std::string& path, uint64_t access) {
  const File at(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (at.number() < 0) return refused(path + " cannot be opened");
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = at.number();
  if (syscall(SYS_landlock_add_rule, rules.number(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    return refused(path + " cannot be kept");
  return ok();
}

Status leave_files(const Sandbox& s) {
  const int64_t version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return refused("the system has no Landlock");
  const uint64_t truncate = version >= 3 ? kTruncate : 0;
  landlock_ruleset_attr all{};
  all.handled_access_fs = (uint64_t{1} << 13) - 1;  // everything that its first version knows
  if (version >= 2) all.handled_access_fs |= uint64_t{1} << 13;
  all.handled_access_fs |= truncate;
  const File rules(syscall(SYS_landlock_create_ruleset, &all, sizeof all.handled_access_fs, 0));
  if (rules.number() < 0) return refused("the system makes no Landlock rules");
  for (const std::string& path : s.read) KILN_TRY(allow(rules, path, kReadFile));
  KILN_TRY(allow(rules, "/proc/cpuinfo", kReadFile));
  if (!s.write.empty()) KILN_TRY(allow(rules, s.write, kMakeFiles | truncate));
  if (syscall(SYS_landlock_restrict_self, rules.number(), 0) != 0) return refused("Landlock's rules were not taken");
  return ok();
}

// -- calls of the system, by seccomp

/// What a model's load and run call, and the C library on their behalf; anything else fails as not permitted.
constexpr int kCalls[] = {SCMP_SYS(read),
                          SCMP_SYS(pread64),
                          SCMP_SYS(readv),
                          SCMP_SYS(write),
                          SCMP_SYS(writev),
                          SCMP_SYS(pwrite64),
                          SCMP_SYS(close),
                          SCMP_SYS(lseek),
                          SCMP_SYS(open),
                          SCMP_SYS(openat),
                          SCMP_SYS(fstat),
                          SCMP_SYS(stat),
                          SCMP_SYS(lstat),
                          SCMP_SYS(newfstatat),
                          SCMP_SYS(statx),
                          SCMP_SYS(mmap),
                          SCMP_SYS(munmap),
                          SCMP_SYS(mprotect),
                          SCMP_SYS(mremap),
                          SCMP_SYS(madvise),
                          SCMP_SYS(brk),
                          SCMP_SYS(futex),
                          SCMP_SYS(set_robust_list),
                          SCMP_SYS(rseq),
                          SCMP_SYS(rt_sigaction),
                          SCMP_SYS(rt_sigprocmask),
                          SCMP_SYS(rt_sigreturn),
                          SCMP_SYS(sigaltstack),
                          SCMP_SYS(sched_yield),
                          SCMP_SYS(sched_getaffinity),
                          SCMP_SYS(getpid),
                          SCMP_SYS(gettid),
                          SCMP_SYS(clock_gettime),
                          SCMP_SYS(nanosleep),
                          SCMP_SYS(clock_nanosleep),
                          SCMP_SYS(restart_syscall),
                          SCMP_SYS(getrandom),
                          SCMP_SYS(exit),
                          SCMP_SYS(exit_group)};

Status leave_calls() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)), seccomp_release);
  if (!filter) return refused("the system has no seccomp");
  int failed = 0;
  for (const int call : kCalls) failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
  // Threads, but no processes. What clone3 is to do no filter can see; without it the C library takes clone.
  failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  // So that what fails badly may end itself.
  failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid()), 0));
  if (failed || seccomp_load(filter.get()) != 0) return refused("seccomp's filter was not taken");
  return ok();
}

}  // namespace

Status enter_sandbox(const Sandbox& sandbox) {
  if (syscall(SYS_close_range, 3u, ~0u, 0u) != 0) return refused("open files cannot be closed");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refused("rights cannot be given up");
  KILN_TRY(leave_files(sandbox));
  KILN_TRY(limit(sandbox));
  return leave_calls();
}

}  // namespace kiln
