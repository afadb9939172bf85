#include "jit/sharing.h"

#include "jit/kernel_spec.h"

namespace kiln {
namespace {

/// Rounds of spinning before a thread goes to sleep: about half a millisecond. It must be longer than a sleeper takes
/// to wake, which is 0.1 ms and more on virtual machines. Otherwise a waiting thread falls asleep and wakes late. Then
/// the other falls asleep at the next step, and so on for the whole run.
constexpr int64_t kSpins = 200000;

// A slot: the units to do, the thread whose share is searched, and how many pieces of this step the thread has taken.
constexpr int64_t kBegin = 0, kEnd = 4, kShare = 8, kTaken = 12;
// A step's record: the number of finished pieces (kDone when all are), then the next ticket of each share.
constexpr int64_t kPieces = 0, kTickets = 4;
constexpr int kDone = -1;

}  // namespace

void Sharing::emit() {
  emit_take();
  emit_await();
}

Int Sharing::slot(Int base, Int thread) {
  const Int at = e_.integer();
  e_.op(IntOp::mul, at, thread, kProgressLine);
  add(e_, at, at, base);
  add(e_, at, at, p_.progress);
  return at;
}

void Sharing::each_piece(Int base, Int thread, Int threads, Int slot, size_t step, Arg units, int pieces,
                         FunctionRef<void(Int, Int)> body) {
  const Int begin = e_.integer(), end = e_.integer();
  e_.do_while(
      [&] {
        e_.call(take_, {base, thread, threads, static_cast<int64_t>(step), units, pieces});
        e_.load_int(begin, {slot, kBegin}, DType::i32);
        e_.load_int(end, {slot, kEnd}, DType::i32);
        e_.if_(begin, Compare::lt, end, [&] { body(begin, end); });
      },
      begin, Compare::lt, end);
}

void Sharing::await(Int base, Int threads, Int first, Arg step) { e_.call(await_, {base, threads, first, step}); }

Int Sharing::record(Int base, Arg step) {
  const Int at = e_.integer();
  e_.op(IntOp::mul, at, step, progress_record_bytes(p_.threads));
  add(e_, at, at, base);
  add(e_, at, at, p_.progress + kProgressLine * p_.threads);
  return at;
}

/// take(base, thread, threads, step, units, pieces): writes the thread's next units to its slot, or an empty range if
/// none are left. Every thread has a share of `pieces` pieces. It takes its own first, then those of others. With 0
/// pieces the step is not worth sharing, and the first thread that comes does it.
void Sharing::emit_take() {
  take_ = e_.begin_function("take", 6);
  const Int base = e_.param(0), thread = e_.param(1), threads = e_.param(2), units = e_.param(4), pieces = e_.param(5);
  const Int at = slot(base, thread), share = e_.integer(), taken = e_.integer(), begin = e_.integer(),
            end = e_.integer(), control = e_.integer(), shares = e_.integer(), victim = e_.integer(),
            word = e_.integer(), more = e_.integer(), total = e_.integer();
  const Int record = this->record(base, e_.param(3));
  add(e_, control, base, p_.control);
  e_.load_int(share, {at, kShare}, DType::i32);
  e_.load_int(taken, {at, kTaken}, DType::i32);
  e_.set(begin, 0);
  e_.set(end, 0);
  const auto alone = [&] {  // all, then nothing
    e_.if_(share, Compare::eq, 0, [&] { e_.set(end, units); });
    e_.set(share, 0);
    e_.if_(end, Compare::gt, 0, [&] { e_.set(share, 1); });
  };
  const auto together = [&] {
    e_.set(shares, threads);
    e_.if_(pieces, Compare::eq, 0, [&] {
      e_.set(shares, 1);
      e_.set(pieces, 1);
    });
    e_.do_while(
        [&] {
          e_.set(more, 0);
          e_.if_(share, Compare::lt, shares, [&] {
            add(e_, victim, thread, share);
            e_.op(IntOp::rem, victim, victim, shares);
            e_.op(IntOp::mul, word, victim, 4);
            add(e_, word, word, record);
            take_ticket(word, victim, shares, units, pieces, begin, end, taken);
            e_.if_(begin, Compare::eq, end, [&] { e_.set(more, 1); });
            e_.if_(word, Compare::eq, 0, [&] { add(e_, share, share, 1); });
          });
        },
        more, Compare::ne, 0);
    e_.if_(begin, Compare::eq, end, [&] {
      e_.op(IntOp::mul, total, shares, pieces);
      e_.if_(taken, Compare::gt, 0, [&] { announce(control, record, total, taken); });
      e_.set(share, 0);
      e_.set(taken, 0);
    });
  };
  e_.if_(threads, Compare::eq, 1, alone, together);
  e_.store_int({at, kBegin}, begin, DType::i32);
  e_.store_int({at, kEnd}, end, DType::i32);
  e_.store_int({at, kShare}, share, DType::i32);
  e_.store_int({at, kTaken}, taken, DType::i32);
  e_.end_function();
}

/// Takes the next piece of a share. `word` counts its tickets; word = 0 if no piece is left. Each piece is half of the
/// rest, and the last one is all of it. So pieces are large while there is much to do, and small at the end, where
/// threads should finish together.
void Sharing::take_ticket(Int word, Int victim, Int shares, Int units, Int pieces, Int begin, Int end, Int taken) {
  const Int ticket = e_.integer(), low = e_.integer(), high = e_.integer(), size = e_.integer();
  const Mem tickets{word, kTickets};
  e_.atomic_load(ticket, tickets);
  e_.if_(ticket, Compare::lt, pieces, [&] { e_.atomic_add(ticket, tickets, 1); });
  const auto piece = [&] {
    add(e_, taken, taken, 1);
    e_.op(IntOp::mul, low, victim, units);
    e_.op(IntOp::div, low, low, shares);
    add(e_, high, victim, 1);
    e_.op(IntOp::mul, high, high, units);
    e_.op(IntOp::div, high, high, shares);
    e_.op(IntOp::sub, size, high, low);
    e_.op(IntOp::shr, begin, size, ticket);
    e_.op(IntOp::sub, begin, high, begin);
    e_.set(end, high);
    add(e_, ticket, ticket, 1);
    e_.if_(ticket, Compare::lt, pieces, [&] {
      e_.op(IntOp::shr, end, size, ticket);
      e_.op(IntOp::sub, end, high, end);
    });
  };
  e_.if_(ticket, Compare::lt, pieces, piece, [&] { e_.set(word, 0); });
}

/// Adds what this thread has done. The thread that completes the step decides whether the run was cancelled, before any
/// thread goes on. Then it wakes those that sleep.
void Sharing::announce(Int control, Int record, Int total, Int taken) {
  const Int before = e_.integer(), sleepers = e_.integer();
  const Mem done{record, kPieces};
  e_.atomic_add(before, done, taken);
  add(e_, before, before, taken);
  e_.if_(before, Compare::eq, total, [&] {
    decide(control);
    e_.atomic_store(done, kDone);
    e_.atomic_load(sleepers, {control, kControlSleepers});
    e_.if_(sleepers, Compare::ne, 0, [&] { e_.atomic_notify(done); });
  });
}

void Sharing::decide(Int control) {
  const Int cancel = e_.integer();
  e_.atomic_load(cancel, {control, kControlCancel});
  e_.if_(cancel, Compare::ne, 0, [&] { e_.atomic_store({control, kControlStatus}, kStatusAborted); });
}

/// await(base, threads, first, step)
void Sharing::emit_await() {
  await_ = e_.begin_function("await", 4);
  const Int threads = e_.param(1), control = e_.integer(), now = e_.integer(), spins = e_.integer();
  const Int record = this->record(e_.param(0), e_.param(3));
  add(e_, control, e_.param(0), p_.control);
  const Mem done{record, kPieces}, sleepers{control, kControlSleepers};
  const auto sleep = [&] {
    e_.atomic_add(spins, sleepers, 1);
    e_.do_while(  // whoever completes the step after this look sees a sleeper
        [&] {
          e_.atomic_load(now, done);
          e_.if_(now, Compare::ne, kDone, [&] { e_.atomic_wait(done, now); });
        },
        now, Compare::ne, kDone);
    e_.atomic_add(spins, sleepers, -1);
  };
  const auto meet = [&] {
    e_.set(spins, kSpins);
    e_.do_while(
        [&] {
          e_.atomic_load(now, done);
          add(e_, spins, spins, -1);
          e_.if_(
              now, Compare::eq, kDone, [&] { e_.set(spins, 0); }, [&] { e_.pause(); });
        },
        spins, Compare::gt, 0);
    e_.if_(now, Compare::ne, kDone, sleep);
  };
  e_.if_(e_.param(3), Compare::ge, e_.param(2),
         [&] { e_.if_(threads, Compare::gt, 1, meet, [&] { decide(control); }); });
  e_.end_function();
}

}  // namespace kiln
