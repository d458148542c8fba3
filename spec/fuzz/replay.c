/* Gives files to a fuzz target, without libFuzzer: the seeds and regressions of spec/fuzz/corpus in
 * every test run, or an input that was found. Tells of each, as TAP has it.
 *
 * usage: <target> FILE | FOLDER … */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { FILE_MAX = 16 * 1024 * 1024 };

static int count;

static bool replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
        rewind(file);
    }
    /* No byte more than there is: a sanitizer is to see a read beyond it. */
    uint8_t *data = size < 0 || size > FILE_MAX ? NULL : malloc(size == 0 ? 1 : (size_t)size);
    bool ok = data != NULL && fread(data, 1, (size_t)size, file) == (size_t)size;
    if (file != NULL) {
        (void)fclose(file);
    }
    if (ok) {
        (void)printf("# %s\n", path);
        (void)fflush(stdout); /* if it ends the program, that is the last line */
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
        (void)printf("ok %d - %s\n", ++count, path);
    } else {
        (void)fprintf(stderr, "%s cannot be read\n", path);
    }
    free(data);
    return ok;
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* False if a file or a folder cannot be read. */
static bool replay(const char *path) {
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) {
        return replay_file(path);
    }
    struct dirent **entries = NULL;
    int found = scandir(path, &entries, is_visible, alphasort);
    bool ok = found >= 0;
    for (int i = 0; i < found; i++) {
        zl_buf inner = {0};
        zl_buf_addf(&inner, "%s/%s", path, entries[i]->d_name);
        ok = replay(inner.data) && ok;
        zl_buf_free(&inner);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

int main(int argc, char **argv) {
    bool ok = true;
    for (int i = 1; i < argc; i++) {
        ok = replay(argv[i]) && ok;
    }
    (void)printf("1..%d\n", count);
    return ok && count > 0 ? 0 : 1;
}
