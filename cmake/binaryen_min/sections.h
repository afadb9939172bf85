// In place of Binaryen's list of sections: those that our modules have. They import a memory, and export functions.
void WasmBinaryWriter::write() {
  writeHeader();
  writeTypes();
  writeImports();
  writeFunctionSignatures();
  writeExports();
  writeFunctions();
#ifndef __EMSCRIPTEN__
  if (debugInfo) writeNames();  // for `kiln dump --stage wat`
#endif
}
