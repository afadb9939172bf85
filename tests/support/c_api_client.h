/* A client of the C API, written in C. */
#ifndef KILN_TESTS_C_API_CLIENT_H
#define KILN_TESTS_C_API_CLIENT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the digits model on an image, and makes every mistake there is to make; the line of the first surprise, or 0.
 * `integrity` is the file's own. */
int c_api_client(const char* path, const char* integrity, const float image[64], float logits[10]);

#ifdef __cplusplus
}
#endif
#endif
