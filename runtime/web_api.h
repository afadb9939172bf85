// What a page's JavaScript calls. The compiler is one small WebAssembly instance, compiles one model, and is thrown
// away after use. Strings and bytes go in through memory from kiln_alloc() and come out through kiln_result_*(). A call
// that fails returns a negative number and leaves {"code","message","where"} as the result.
//
//   1. kiln_head_layout(bytes ≥ 16, n)     → result JSON {"headBytes","weightsBegin"}
//   2. kiln_open(head, n, fileBytes, options, m)   options: "key=value" lines:
//        threads, shared, relaxedSimd, memory64 (0/1), device, l1, l2, precision (exact, balanced, fast), dim.<symbol>
//                                          → result JSON: the outline
//                                          {"inputs","outputs","weightsBytes","arenaBytes","kernels":n}
//      kiln_digests()                      → result = the SHA-256 of each MiB of the file's weights, as its head gives
//      it
//      Or, of an .onnx file, a skeleton for the head (js-sdk/src/host/skeleton.ts), and first, in the compiler that
//      reads it: kiln_pieces(skeleton, n, fileBytes) → result = where the bytes of its weights are: bytes of the
//      weights, count,
//        then (offset in the weights, size, offset in the .onnx file, or ~offset in what follows) of each piece, in
//        order, all numbers of 64 bits; then bytes that were made
//   3. kiln_wisdom(lines, n)               any number of times; scope, spec, schedule, nanoseconds, with tabs between
//   4. kiln_tune_next(max)                 → 0: nothing (left) to measure; k > 0: result = a module with exports
//        bench(base, index, repeats), k candidates; kiln_tune_describe() → JSON
//        {"bytes","duel","candidates":[{"spec","schedule","flops"}]}
//      kiln_tune_report(index, ns)
//   5. kiln_lay_out(fileAt, landed)        fileAt: where the file's weights lie in the model's memory (a multiple of
//   64),
//                                          or further on if "file" says so; 0: each comes when it is its turn. Only the
//                                          first `landed` bytes lie there.
//                                          → result = the module that packs weights, with the export `init`
//      kiln_manifest()                     → result JSON, see js-sdk/src/shared/manifest.ts:
//        {"memory":{control,arena,scratch,scratchStride,weights,packed,file,total},
//        "inputs"/"outputs":[{name,dtype,shape,address,bytes}],
//         "transfers":[{segment,offset,size,address,phase}], "constants":[{address,base64}],
//         "steps":[{label,kernel,flops,bytes,barrier}], "kernels":[{spec,schedule,origin,ns}], "initPhases":n,
//         "arenaNeeds":n, "stepNeeds":[n]  how many transfers must be complete before a run may touch the arena, and
//                                          before each step may run
//         "weightsBytes":n, "blockHashes":[XXH64 in hexadecimal]}
//   6. kiln_emit()                         → result = the model's module, with the export `run`
//   7. kiln_wisdom_export()                → result JSON: what was measured here
//   8. kiln_dump(stage)                    → result text: graph | plan | schedule
#pragma once

#include <cstdint>

extern "C" {
void* kiln_alloc(uint32_t bytes);
void kiln_free(void* p);
int32_t kiln_head_layout(const uint8_t* bytes, uint32_t size);
int32_t kiln_open(const uint8_t* head, uint32_t size, double file_bytes, const char* options, uint32_t options_size);
int32_t kiln_digests();
int32_t kiln_pieces(const uint8_t* skeleton, uint32_t size, double file_bytes);
int32_t kiln_wisdom(const char* lines, uint32_t size);
int32_t kiln_tune_next(uint32_t max_candidates);
int32_t kiln_tune_describe();
int32_t kiln_tune_report(uint32_t index, double nanoseconds);
int32_t kiln_lay_out(double file_at, double landed);
int32_t kiln_emit();
int32_t kiln_manifest();
int32_t kiln_wisdom_export();
int32_t kiln_dump(const char* stage, uint32_t size);
const uint8_t* kiln_result_data();
uint32_t kiln_result_size();
}
