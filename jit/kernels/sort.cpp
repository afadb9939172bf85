// Rows in order: sort, top-k, k-th value. A row becomes records of a key and an index. The order of keys as integers is
// that of elements, so that equal elements have equal keys. Records are sorted by radix, byte by byte from the lowest,
// or, if they are few, by insertion. Both leave equal keys in their order.
//
// If few of many are wanted, the best so far and a threshold are kept. Vectors are compared with the threshold. What is
// better goes behind the best. When there is no more room, those are sorted and the worse part is dropped.
#include <algorithm>

#include "jit/calc.h"
#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/touch.h"

namespace kiln {
namespace {

/// Rows of up to so many keys of 32 bits are sorted by insertion: the digits of a row by radix would take longer to
/// count.
constexpr int64_t kFew = 32;
/// Records that are kept beside the wanted ones, at least; of so few wanted ones kFew records in all.
constexpr int64_t kRoom = 256, kFewWanted = 8;
constexpr int64_t kDigits = 256, kWord = 4;
/// Bytes in front of the records: a key that is less than all.
constexpr int64_t kFront = 64;

const SortSpec& spec_of(const KernelSpec& spec) { return *std::get_if<SortSpec>(&spec); }

bool is_wide(const SortSpec& s) { return s.dtype == DType::i64; }
int64_t passes(const SortSpec& s) { return size_of(s.dtype); }
/// Records up to the last wanted one.
int64_t wanted(const SortSpec& s) { return s.first + s.taken; }
/// Records that are sorted at once.
int64_t room(const SortSpec& s, const Target& target) {
  const int64_t least = wanted(s) <= kFewWanted ? kFew : std::max(2 * wanted(s), wanted(s) + kRoom);
  const int64_t most = round_up(least, target.width);
  return size_of(s.dtype) == 4 && 2 * most <= s.count ? most : s.count;
}

class SortEmitter {
 public:
  SortEmitter(Emitter& emitter, const SortSpec& spec, std::string name)
      : e_(emitter),
        s_(spec),
        name_(std::move(name)),
        size_(size_of(spec.dtype)),
        room_(room(spec, emitter.target())),
        column_(round_up(room_, 16) * kWord) {}

  static int64_t scratch_bytes(const SortSpec& s, const Target& target) {
    const int64_t column = round_up(room(s, target), 16) * kWord;
    return kFront + 2 * (2 + is_wide(s)) * column + passes(s) * kDigits * kWord + 64;
  }

  /// Entry operands: [values], [indices], in.
  Func emit() {
    const bool few = room_ <= kFew && !is_wide(s_);
    sort_ = few ? emit_insertion() : emit_radix();
    const Func unit = emit_unit();
    const int operands = 1 + s_.has_values + s_.has_indices;
    const Func f = e_.begin_function(name_, 3 + operands);
    UnitOperands at(e_, s_.dims);
    int param = 3;
    if (s_.has_values) at.add(param++, size_, s_.values);
    if (s_.has_indices) at.add(param++, 8, s_.indices);
    at.add(param, size_, s_.in);
    for_units(e_, [&](Int number) {
      std::vector<Arg> args = at.at(number);
      args.emplace_back(e_.param(2));
      e_.call(unit, args);
    });
    e_.end_function();
    return f;
  }

 private:
  // -- records: columns of keys, of indices, and of the high halves of wide keys
  int64_t keys() const { return 0; }
  int64_t indices() const { return column_; }
  int64_t highs() const { return 2 * column_; }
  int64_t other() const { return (2 + is_wide(s_)) * column_; }  ///< a second set of columns
  int64_t counters() const { return 2 * other(); }
  int64_t vector_at() const { return counters() + passes(s_) * kDigits * kWord; }  ///< room for a vector

  Int load(Mem at, DType type = DType::i32) {
    const Int r = e_.integer();
    e_.load_int(r, at, type);
    return r;
  }
  void store(Mem at, Int v, DType type = DType::i32) { e_.store_int(at, v, type); }

  /// insertion(records, count)
  Func emit_insertion() {
    const Func f = e_.begin_function(name_ + "_insertion", 2);
    const Int records = e_.param(0), i = e_.integer(), at = e_.integer(), least = e_.integer();
    e_.set(least, INT32_MIN);
    store({records, -kWord}, least);
    e_.for_range(i, 1, e_.param(1), 1, [&] {
      e_.op(IntOp::mul, at, i, kWord);
      add(e_, at, at, records);
      const Int key = load({at, 0}), index = load({at, indices()}), before = load({at, -kWord});
      const auto later = [&] { e_.load_int(before, {at, -kWord}, DType::i32); };
      e_.if_(before, Compare::gt, key, [&] {
        e_.do_while(
            [&] {
              store({at, 0}, before);
              store({at, indices()}, load({at, indices() - kWord}));
              add(e_, at, at, -kWord);
              later();
            },
            before, Compare::gt, key);
        store({at, 0}, key);
        store({at, indices()}, index);
      });
    });
    e_.end_function();
    return f;
  }

  /// The digit of pass `pass`, times 4, of a record at `at`.
  void digit(Int out, Int at, int64_t pass) {
    const bool high = pass >= kWord;
    const int64_t byte = pass % kWord;
    e_.load_int(out, {at, high ? highs() : keys()}, DType::i32);
    if (byte) e_.op(IntOp::shr, out, out, 8 * byte);
    if (pass + 1 == passes(s_) && is_signed(s_.dtype)) add(e_, out, out, kDigits / 2);
    e_.op(IntOp::and_, out, out, kDigits - 1);
    e_.op(IntOp::mul, out, out, kWord);
  }

  /// radix(records, count): the sorted records lie where they lay.
  Func emit_radix() {
    std::vector<Func> pass;
    for (int64_t p = 0; p < passes(s_); ++p) pass.push_back(emit_pass(p));
    const Func f = e_.begin_function(name_ + "_radix", 2);
    const Int records = e_.param(0), count = e_.param(1);
    const Int from = e_.integer(), to = e_.integer(), i = e_.integer(), at = e_.integer(), d = e_.integer(),
              counted = e_.integer(), n = e_.integer();
    add(e_, counted, records, counters());
    for_vectors(e_, passes(s_) * kDigits, 4, {counted}, {kWord}, [&](int64_t element, int lanes) {
      const Vec zero = e_.vec();
      e_.splat_i32(zero, 0);
      e_.store({counted, element * kWord}, zero, DType::i32, lanes);
    });
    e_.set(at, records);
    e_.for_range(i, 0, count, 1, [&] {
      for (int64_t p = 0; p < passes(s_); ++p) {
        digit(d, at, p);
        add(e_, d, d, counted);
        e_.load_int(n, {d, p * kDigits * kWord}, DType::i32);
        add(e_, n, n, 1);
        store({d, p * kDigits * kWord}, n);
      }
      add(e_, at, at, kWord);
    });
    e_.set(from, records);
    add(e_, to, records, other());
    for (int64_t p = 0; p < passes(s_); ++p) {
      digit(d, from, p);
      add(e_, d, d, counted);
      e_.load_int(n, {d, p * kDigits * kWord}, DType::i32);
      e_.if_(n, Compare::ne, count, [&] {  // else all have the same digit
        add(e_, at, counted, p * kDigits * kWord);
        e_.call(pass[static_cast<size_t>(p)], {from, to, count, at});
        e_.set(d, from);
        e_.set(from, to);
        e_.set(to, d);
      });
    }
    e_.if_(from, Compare::ne, records, [&] {
      e_.for_range(i, 0, count, 1, [&] {
        copy_record(to, from);
        add(e_, from, from, kWord);
        add(e_, to, to, kWord);
      });
    });
    e_.end_function();
    return f;
  }

  /// pass(from, to, count, counters of its digit)
  Func emit_pass(int64_t pass) {
    const Func f = e_.begin_function(name_ + "_pass" + std::to_string(pass), 4);
    const Int from = e_.param(0), to = e_.param(1), counted = e_.param(3);
    const Int i = e_.integer(), d = e_.integer(), n = e_.integer(), place = e_.integer();
    e_.set(place, 0);
    e_.set(d, counted);
    e_.for_range(i, 0, kDigits, 1, [&] {  // how many there are becomes where the first goes
      e_.load_int(n, {d, 0}, DType::i32);
      store({d, 0}, place);
      e_.op(IntOp::mul, n, n, kWord);
      add(e_, place, place, n);
      add(e_, d, d, kWord);
    });
    e_.for_range(i, 0, e_.param(2), 1, [&] {
      digit(d, from, pass);
      add(e_, d, d, counted);
      e_.load_int(place, {d, 0}, DType::i32);
      add(e_, n, place, kWord);
      store({d, 0}, n);
      add(e_, place, place, to);
      copy_record(place, from);
      add(e_, from, from, kWord);
    });
    e_.end_function();
    return f;
  }
  void copy_record(Int to, Int from) {
    for (const int64_t column : {keys(), indices(), highs()})
      if (column < other()) store({to, column}, load({from, column}));
  }

  /// Keys of a vector of elements: integers in the order of the elements, NaN the greatest, both zeros equal.
  integer::Wide keys_of(Mem at, int lanes) {
    const math::Calc c(e_);
    const Lane lane = is_wide(s_) ? Lane::i64 : Lane::i32;
    integer::Wide x = load_strided(e_, at, s_.dtype, lane, s_.in_step, lanes);
    if (s_.dtype == DType::f32) {
      const Vec z = c.add(x.low, c.k(0)), nan = c.cmp(Compare::ne, x.low, x.low);
      x.low = c.select(nan, c.ki(INT32_MAX), c.differ(z, c.both(c.shr(z, 31), c.ki(INT32_MAX))));
    }
    if (s_.dtype == DType::boolean) x.low = c.both(x.low, c.ki(1));
    if (s_.descending) {
      x.low = c.op(VecUnary::not_, x.low);
      if (is_wide(s_)) x.high = c.op(VecUnary::not_, x.high);
    }
    return x;
  }

  /// Records of elements [0, n) of the row, in their order. `in` moves behind them.
  void load_records(Int in, Int records, int64_t n) {
    const int w = e_.width();
    const Int at = e_.integer(), round = e_.integer(), number = e_.integer();
    e_.set(at, records);
    for (int lane = 0; lane < w; ++lane) {
      e_.set(number, lane);
      store({records, vector_at() + lane * kWord}, number);
    }
    const Vec index = e_.vec(), step = e_.vec();
    e_.load(index, {records, vector_at()}, DType::i32, w);
    e_.splat_i32(step, w);
    const auto take = [&](int lanes) {
      const integer::Wide key = keys_of({in, 0}, lanes);
      e_.store({at, keys()}, key.low, DType::i32, lanes);
      if (is_wide(s_)) e_.store({at, highs()}, key.high, DType::i32, lanes);
      e_.store({at, indices()}, index, DType::i32, lanes);
      add(e_, in, in, lanes * s_.in_step * size_);
    };
    e_.for_range(round, 0, n / w, 1, [&] {
      take(w);
      e_.op(VecBinary::i32_add, index, index, step);
      add(e_, at, at, w * kWord);
    });
    if (n % w) take(static_cast<int>(n % w));
  }

  /// unit([values], [indices], in, scratch)
  Func emit_unit() {
    const Func f = e_.begin_function(name_ + "_unit", 2 + s_.has_values + s_.has_indices);
    int param = 0;
    const Int values = s_.has_values ? e_.param(param++) : Int{}, found = s_.has_indices ? e_.param(param++) : Int{};
    const Int row = e_.param(param), in = e_.integer(), records = e_.integer(), count = e_.integer();
    add(e_, records, e_.param(param + 1), kFront);
    e_.set(in, row);
    load_records(in, records, room_);
    e_.set(count, room_);
    e_.call(sort_, {records, count});
    if (room_ < s_.count) filter(in, records, count);
    write(values, found, row, records);
    e_.end_function();
    return f;
  }

  /// What is better than the last of the wanted so far, among the elements behind the first `room_`.
  void filter(Int in, Int records, Int count) {
    const int w = e_.width();
    const int64_t k = wanted(s_);
    const Int index = e_.integer(), limit = e_.integer(), at = e_.integer(), lane = e_.integer(), end = e_.integer();
    const Vec limits = e_.vec();
    const auto drop = [&] {
      e_.set(count, k);
      e_.load_int(limit, {records, keys() + (k - 1) * kWord}, DType::i32);
      e_.splat_int(limits, limit);
    };
    drop();
    e_.set(index, room_);
    const auto take = [&](int lanes) {
      const integer::Wide key = keys_of({in, 0}, lanes);
      const Vec better = e_.vec();
      e_.compare(better, Lane::i32, Compare::lt, key.low, limits);
      e_.if_any(better, [&] {
        e_.store({records, vector_at()}, key.low, DType::i32, lanes);
        e_.set(at, records);
        add(e_, end, records, lanes * kWord);
        e_.set(lane, index);
        e_.do_while(
            [&] {
              const Int one = load({at, vector_at()}), to = e_.integer();
              e_.if_(one, Compare::lt, limit, [&] {
                e_.op(IntOp::mul, to, count, kWord);
                add(e_, to, to, records);
                store({to, keys()}, one);
                store({to, indices()}, lane);
                add(e_, count, count, 1);
              });
              add(e_, lane, lane, 1);
              add(e_, at, at, kWord);
            },
            at, Compare::lt, end);
        e_.if_(count, Compare::gt, room_ - w, [&] {
          e_.call(sort_, {records, count});
          drop();
        });
      });
      add(e_, in, in, lanes * s_.in_step * size_);
      add(e_, index, index, lanes);
    };
    const int64_t left = s_.count - room_;
    const Int round = e_.integer();
    e_.for_range(round, 0, left / w, 1, [&] { take(w); });
    if (left % w) take(static_cast<int>(left % w));
    e_.if_(count, Compare::gt, k, [&] { e_.call(sort_, {records, count}); });
  }

  /// The wanted records' elements and indices.
  void write(Int values, Int found, Int row, Int records) {
    const Int at = e_.integer(), index = e_.integer(), from = e_.integer(), i = e_.integer();
    add(e_, at, records, s_.first * kWord);
    e_.for_range(i, 0, s_.taken, 1, [&] {
      e_.load_int(index, {at, indices()}, DType::i32);
      if (s_.has_values) {
        e_.op(IntOp::mul, from, index, s_.in_step * size_);
        add(e_, from, from, row);
        const DType type = size_ == 1 ? DType::u8 : DType::i32;
        for (int64_t byte = 0; byte < size_; byte += size_of(type))
          store({values, byte}, load({from, byte}, type), type);
        add(e_, values, values, s_.values_step * size_);
      }
      if (s_.has_indices) {
        store({found, 0}, index, DType::i64);
        add(e_, found, found, s_.indices_step * 8);
      }
      add(e_, at, at, kWord);
    });
  }

  Emitter& e_;
  SortSpec s_;
  std::string name_;
  int64_t size_, room_, column_;
  Func sort_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target&) {
  int64_t n = 1;
  for (const int64_t d : spec_of(spec).dims) n *= d;
  return n;
}
int64_t scratch_bytes(const KernelSpec& spec, const Schedule&, const Target& target) {
  return SortEmitter::scratch_bytes(spec_of(spec), target);
}
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return SortEmitter(e, spec_of(spec), name).emit();
}

using Spec = SortSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("d", dims),
    KILN_FIELD("sv", values),
    KILN_FIELD("si", indices),
    KILN_FIELD("in", in),
    KILN_FIELD("n", count),
    KILN_FIELD(nullptr, first),
    KILN_FIELD(nullptr, taken),
    KILN_FIELD("s", in_step),
    KILN_FIELD(nullptr, values_step),
    KILN_FIELD(nullptr, indices_step),
    KILN_FIELD("f", descending),
    KILN_FIELD(nullptr, has_values),
    KILN_FIELD(nullptr, has_indices),
    KILN_FIELD("t", dtype),
};
constexpr FieldList kFields = list_of("sort", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const SortSpec& s = spec_of(spec);
  if (s.has_values) o.writes("values", s.dtype).along(s.dims, s.values).loop(s.taken, s.values_step);
  if (s.has_indices) o.writes("indices", DType::i64).along(s.dims, s.indices).loop(s.taken, s.indices_step);
  o.reads("in", s.dtype).along(s.dims, s.in).loop(s.count, s.in_step);
  o.require(s.first >= 0 && s.first <= s.count - s.taken && (s.has_values || s.has_indices));
}

Work work(const KernelSpec& spec) {
  const SortSpec& s = spec_of(spec);
  // A digit costs as much as some 150 operations; what is merely compared with a threshold, as 20.
  const double n = volume(s.dims) * static_cast<double>(s.count), digits = static_cast<double>(size_of(s.dtype));
  const double few = s.first + s.taken < s.count / 8 ? 20 : 150 * digits;
  return {n * few, n * (digits + 8)};
}

}  // namespace

const Family kSortFamily{"sort", &kFields, operands, work, units, scratch_bytes, feasible, emit};

}  // namespace kiln
