#include "runtime/native_perf.h"

#include <cstdlib>
#include <cstring>

#ifdef __linux__
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>
#endif

namespace kiln {

#ifdef __linux__
namespace {

// The form of a jitdump file: tools/perf/Documentation/jitdump-specification.txt in Linux.
struct DumpHeader {
  uint32_t magic = 0x4A695444, version = 1, total_size = sizeof(DumpHeader), machine, pad = 0, pid;
  uint64_t timestamp, flags = 0;
};
struct CodeLoad {
  uint32_t id = 0, total_size;
  uint64_t timestamp;
  uint32_t pid, tid;
  uint64_t vma, address, size, index;
};

#ifdef __aarch64__
constexpr uint32_t kMachine = EM_AARCH64;
#else
constexpr uint32_t kMachine = EM_X86_64;
#endif

/// By the clock of `perf record -k mono`.
uint64_t nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

/// A new file: what lay there goes first, and a link, which somebody else may have put there, is never followed.
std::FILE* create(const std::string& path) {
  unlink(path.c_str());
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  return file < 0 ? nullptr : fdopen(file, "w+");
}

uint32_t process() { return static_cast<uint32_t>(getpid()); }

}  // namespace

Result<std::unique_ptr<PerfLog>> PerfLog::open(const std::string& map_path, const std::string& dump_path) {
  std::unique_ptr<PerfLog> log(new PerfLog);
  log->names_ = map_path.empty() ? dump_path : map_path;
  if (!map_path.empty() && !(log->map_ = create(map_path)))
    return Error{ErrorCode::bad_option, "perf's map cannot be written", map_path};
  if (!dump_path.empty()) KILN_TRY(log->open_dump(dump_path));
  return log;
}

Status PerfLog::open_dump(const std::string& path) {
  dump_ = create(path);
  if (!dump_) return Error{ErrorCode::bad_option, "perf's jitdump cannot be written", path};
  DumpHeader header;
  header.machine = kMachine;
  header.pid = process();
  header.timestamp = nanoseconds();
  std::fwrite(&header, sizeof header, 1, dump_);
  std::fflush(dump_);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* mark = mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(dump_), 0);
  if (mark == MAP_FAILED)
    return Error{ErrorCode::bad_option, "perf's jitdump lies where nothing may be executed; use another folder", path};
  mark_ = mark;
  return ok();
}

PerfLog::~PerfLog() {
  if (mark_) munmap(mark_, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  for (std::FILE* file : {map_, dump_})
    if (file) std::fclose(file);
}

Status PerfLog::add(const NativeCode& code) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Module::Symbol& s : code.symbols()) {
    const auto address = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(code.base())) + s.offset;
    if (map_) add_to_map(address, s);
    if (dump_) add_to_dump(address, s);
  }
  for (std::FILE* file : {map_, dump_})
    if (file && (std::fflush(file) != 0 || std::ferror(file)))
      return Error{ErrorCode::bad_option, "what perf is to be told cannot be written", names_};
  return ok();
}

void PerfLog::add_to_map(uint64_t address, const Module::Symbol& function) {
  std::fprintf(map_, "%llx %llx kiln:%s\n", static_cast<unsigned long long>(address),
               static_cast<unsigned long long>(function.size), function.name.c_str());
}

void PerfLog::add_to_dump(uint64_t address, const Module::Symbol& function) {
  const std::string name = "kiln:" + function.name;
  CodeLoad record;
  record.total_size = static_cast<uint32_t>(sizeof record + name.size() + 1 + function.size);
  record.timestamp = nanoseconds();
  record.pid = process();
  record.tid = static_cast<uint32_t>(syscall(SYS_gettid));
  record.vma = record.address = address;
  record.size = function.size;
  record.index = functions_++;
  std::fwrite(&record, sizeof record, 1, dump_);
  std::fwrite(name.c_str(), name.size() + 1, 1, dump_);
  std::fwrite(reinterpret_cast<const void*>(address), function.size, 1, dump_);
}

Status perf_register(const NativeCode& code) {
  static const Result<std::unique_ptr<PerfLog>> log = []() -> Result<std::unique_ptr<PerfLog>> {
    const char* wanted = std::getenv("KILN_PERF");
    const std::string what = wanted ? wanted : "", pid = std::to_string(process());
    if (what.empty()) return std::unique_ptr<PerfLog>();
    if (what != "map" && what != "dump" && what != "map,dump")
      return Error{ErrorCode::bad_option, "KILN_PERF is to be map, dump or map,dump", what};
    return PerfLog::open(what != "dump" ? "/tmp/perf-" + pid + ".map" : "",
                         what != "map" ? "jit-" + pid + ".dump" : "");
  }();
  if (!log.ok()) return log.error();
  return *log ? (*log)->add(code) : ok();
}

#else

Status perf_register(const NativeCode&) { return ok(); }

#endif

}  // namespace kiln
