#include "tests/support/c_api_client.h"

#include <string.h>

#include "runtime/c_api.h"

#define EXPECT(condition) \
  if (!(condition)) return __LINE__

static const int64_t kShape[4] = {1, 1, 8, 8};

static int refuses_to_open(const char* path) {
  kiln_model* model = (kiln_model*)path; /* to see it cleared */
  kiln_options options;
  const kiln_dim nameless = {NULL, 3};
  EXPECT(kiln_model_open("/no/such/file", NULL, &model) == KILN_BAD_FILE);
  EXPECT(model == NULL);
  EXPECT(strstr(kiln_last_error(), "/no/such/file") != NULL);
  EXPECT(kiln_model_open(NULL, NULL, &model) == KILN_BAD_OPTION);
  EXPECT(kiln_model_open(path, NULL, NULL) == KILN_BAD_OPTION);
  kiln_options_init(&options);
  options.threads = -3;
  EXPECT(kiln_model_open(path, &options, &model) == KILN_BAD_OPTION);
  kiln_options_init(&options);
  options.isa = "pdp11";
  EXPECT(kiln_model_open(path, &options, &model) == KILN_BAD_OPTION);
  kiln_options_init(&options);
  EXPECT(options.precision == KILN_BALANCED);
  options.precision = KILN_FAST + 1;
  EXPECT(kiln_model_open(path, &options, &model) == KILN_BAD_OPTION);
  EXPECT(strstr(kiln_last_error(), "KILN_BALANCED") != NULL);
  kiln_options_init(&options);
  options.dims = &nameless;
  options.num_dims = 1;
  EXPECT(kiln_model_open(path, &options, &model) == KILN_BAD_OPTION);
  kiln_options_init(&options);
  options.wisdom = path; /* not wisdom */
  EXPECT(kiln_model_open(path, &options, &model) == KILN_BAD_WISDOM);
  EXPECT(model == NULL);
  EXPECT(strcmp(kiln_status_name(KILN_BAD_WISDOM), "bad-wisdom") == 0);
  EXPECT(strcmp(kiln_status_name(KILN_OK), "ok") == 0);
  EXPECT(strcmp(kiln_status_name(77), "unknown") == 0);
  return 0;
}

static int insists(const char* path, const char* integrity) {
  kiln_model* model;
  kiln_options options;
  const char* wrong[] = {"", "sha256-", "md5-AAAA", "sha256-AAAA,sha256-AAAA", integrity + 1};
  const char* other = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  char several[120];
  size_t i;
  kiln_options_init(&options);
  EXPECT(options.integrity == NULL);
  for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    options.integrity = wrong[i];
    EXPECT(kiln_model_open(path, &options, &model) == KILN_BAD_OPTION && model == NULL);
    EXPECT(strstr(kiln_last_error(), "[integrity]") != NULL);
  }
  options.integrity = other;
  EXPECT(kiln_model_open(path, &options, &model) == KILN_BAD_FILE && model == NULL);
  EXPECT(strstr(kiln_last_error(), integrity) != NULL); /* what it is */
  strcat(strcat(strcpy(several, other), "\n "), integrity);
  options.integrity = several;
  EXPECT(kiln_model_open(path, &options, &model) == KILN_OK);
  kiln_model_close(model);
  options.verify_checksums = 0;
  EXPECT(kiln_model_open(path, &options, &model) == KILN_BAD_OPTION);
  return 0;
}

static int describes(const kiln_model* model) {
  kiln_port port;
  kiln_step step;
  kiln_memory memory;
  size_t i;
  EXPECT(kiln_model_num_inputs(model) == 1 && kiln_model_num_outputs(model) == 1);
  EXPECT(kiln_model_input(model, 0, &port) == KILN_OK);
  EXPECT(strcmp(port.name, "image") == 0 && port.dtype == KILN_FLOAT32 && port.rank == 4 && port.bytes == 256);
  EXPECT(memcmp(port.shape, kShape, sizeof kShape) == 0);
  EXPECT(kiln_model_output(model, 0, &port) == KILN_OK);
  EXPECT(strcmp(port.name, "logits") == 0 && port.bytes == 40);
  EXPECT(kiln_model_input(model, 1, &port) == KILN_BAD_OPTION);
  EXPECT(kiln_model_output(model, 0, NULL) == KILN_BAD_OPTION);
  EXPECT(kiln_model_num_steps(model) > 0);
  for (i = 0; i < kiln_model_num_steps(model); i++) {
    EXPECT(kiln_model_step(model, i, &step) == KILN_OK);
    EXPECT(step.label && step.kernel && step.schedule);
  }
  EXPECT(kiln_model_step(model, i, &step) == KILN_BAD_OPTION);
  EXPECT(kiln_model_memory(model, &memory) == KILN_OK);
  EXPECT(memory.weights > 100000 && memory.arena > 0);
  EXPECT(memory.total >= memory.weights + memory.arena + memory.scratch);
  EXPECT(kiln_model_memory(NULL, &memory) == KILN_BAD_OPTION);
  return 0;
}

static int refuses_to_run(kiln_model* model, const kiln_input* image, const kiln_output* logits) {
  kiln_input bad = *image;
  kiln_output small = *logits;
  EXPECT(kiln_model_run(NULL, image, 1, logits, 1) == KILN_BAD_OPTION);
  EXPECT(kiln_model_run(model, NULL, 1, logits, 1) == KILN_BAD_OPTION);
  EXPECT(kiln_model_run(model, NULL, 0, logits, 1) == KILN_BAD_INPUT);
  bad.name = NULL;
  EXPECT(kiln_model_run(model, &bad, 1, logits, 1) == KILN_BAD_INPUT);
  bad = *image;
  bad.data = NULL;
  EXPECT(kiln_model_run(model, &bad, 1, logits, 1) == KILN_BAD_INPUT);
  bad = *image;
  bad.dtype = 99;
  EXPECT(kiln_model_run(model, &bad, 1, logits, 1) == KILN_BAD_INPUT);
  bad = *image;
  bad.rank = 3;
  EXPECT(kiln_model_run(model, &bad, 1, logits, 1) == KILN_BAD_INPUT);
  small.bytes = 4;
  EXPECT(kiln_model_run(model, image, 1, &small, 1) == KILN_BAD_INPUT);
  EXPECT(strstr(kiln_last_error(), "logits") != NULL);
  return 0;
}

int c_api_client(const char* path, const char* integrity, const float image[64], float logits[10]) {
  kiln_model* model;
  kiln_options options;
  double ms[256];
  const kiln_input input = {"image", KILN_FLOAT32, kShape, 4, image, 256};
  const kiln_output output = {"logits", logits, 40, NULL};
  int line = refuses_to_open(path);
  if (line) return line;
  if ((line = insists(path, integrity)) != 0) return line;
  kiln_options_init(&options);
  options.threads = 2;
  options.device_wisdom = 0;
  options.integrity = integrity;
  EXPECT(kiln_model_open(path, &options, &model) == KILN_OK);
  if ((line = describes(model)) != 0) return line;
  if ((line = refuses_to_run(model, &input, &output)) != 0) return line;
  kiln_model_cancel(model); /* nothing runs: nothing happens */
  EXPECT(kiln_model_num_steps(model) <= 256);
  EXPECT(kiln_model_profile(model, &input, 1, 0, ms) == KILN_BAD_OPTION);
  EXPECT(kiln_model_profile(model, &input, 1, 2, ms) == KILN_OK);
  EXPECT(ms[0] >= 0);
  EXPECT(kiln_model_run(model, &input, 1, &output, 1) == KILN_OK);
  kiln_model_close(model);
  kiln_model_close(NULL);
  return 0;
}
