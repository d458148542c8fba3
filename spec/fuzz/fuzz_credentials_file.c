/* The files of the official command line: what is found in them is what another reader of JSON
 * finds there.
 *
 * Input: a byte that says which files there are and how open they are; a line, the profile that is
 * asked for; the text of config.json, which ends at a NUL; the text of credentials.json. They are
 * written into a folder of the process's own, of $TMPDIR. */
#include "credentials_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opinion.h"

enum { HAS_CONFIG = 1, HAS_CREDENTIALS = 2, IS_OPEN = 4, PATH_ROOM = 512 };

static const char *const names[] = {"config.json", "credentials.json"};

/* --- the folder ------------------------------------------------------------------------------- */

static char dir[PATH_ROOM / 2];

static void path_of(char path[PATH_ROOM], size_t file) {
    (void)snprintf(path, PATH_ROOM, "%s/%s", dir, names[file]);
}

static void remove_dir(void) {
    char path[PATH_ROOM];
    for (size_t i = 0; i < COUNT(names); i++) {
        path_of(path, i);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

static void make_dir(void) {
    const char *parent = getenv("TMPDIR");
    if (dir[0] == '\0') {
        (void)snprintf(dir, sizeof dir, "%s/zenlayer-fuzz-XXXXXX",
                       parent != NULL ? parent : "/tmp");
        CHECK(mkdtemp(dir) != NULL && atexit(remove_dir) == 0);
    }
}

static void put(size_t file, bool is_there, mode_t mode, zl_view text) {
    char path[PATH_ROOM];
    path_of(path, file);
    if (!is_there) {
        (void)unlink(path);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len);
    CHECK(fchmod(fd, mode) == 0 && close(fd) == 0);
}

/* --- what must be in it ----------------------------------------------------------------------- */

/* A string, or none: absent or null. */
static bool has_text(const json_t *object, const char *name) {
    const json_t *member = json_object_get(object, name);
    return member == NULL || json_is_null(member) || json_is_string(member);
}

static bool is_config(const json_t *value) {
    return json_is_object(value) && has_text(value, "current_profile");
}

/* Whether the profile is fit, if it is there. */
static bool is_credentials(const json_t *value, zl_view name) {
    const json_t *profile = json_object_getn(value, name.data, name.len);
    return json_is_object(value) &&
           (profile == NULL || json_is_null(profile) ||
            (json_is_object(profile) && has_text(profile, "access_key_id") &&
             has_text(profile, "access_key_secret") && has_text(profile, "token")));
}

/* A member that is a string is what was read; where there is none, nothing was. */
static void check_string(const json_t *object, const char *name, const zl_buf *read) {
    const json_t *member = json_object_get(object, name);
    CHECK(has_text(object, name));
    zl_view want = json_is_string(member) ? json_text(member) : (zl_view){NULL, 0};
    CHECK(zl_view_equal(zl_buf_view(read), want));
}

static void check_found(const zl_credentials_file *file, const json_t *credentials) {
    zl_view name = zl_buf_view(&file->profile);
    const json_t *profile = json_object_getn(credentials, name.data, name.len);
    if (file->status == ZL_FILE_NO_PROFILE) {
        CHECK(json_is_object(credentials) && (profile == NULL || json_is_null(profile)));
        return;
    }
    CHECK(json_is_object(profile));
    check_string(profile, "access_key_id", &file->id);
    check_string(profile, "access_key_secret", &file->password);
    check_string(profile, "token", &file->token);
}

/* The profile is the one that was asked for, or that config.json says, or "default". */
static void check_profile(const zl_credentials_file *file, zl_view asked, const json_t *config) {
    zl_view name = zl_buf_view(&file->profile);
    if (asked.len > 0) {
        CHECK(zl_view_equal(name, asked) && !file->is_current);
        return;
    }
    const json_t *current = json_object_get(config, "current_profile");
    bool is_said = json_is_string(current) && json_string_length(current) > 0;
    CHECK(file->is_current == is_said);
    CHECK(zl_view_equal(name, is_said ? json_text(current) : ZL_LIT("default")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    uint8_t flags = input_byte(&in);
    zl_view profile = input_line(&in), config = {(const char *)in.at, 0};
    while (config.len < in.left && config.data[config.len] != '\0') {
        config.len++;
    }
    (void)input_text(&in, config.len + 1);
    zl_view credentials = input_rest(&in);
    make_dir();
    put(0, (flags & HAS_CONFIG) != 0, 0644, config);
    put(1, (flags & HAS_CREDENTIALS) != 0, (flags & IS_OPEN) != 0 ? 0640 : 0600, credentials);

    json_t *config_read = NULL, *credentials_read = NULL;
    opinion of_config = OPINION_JSON;
    if ((flags & HAS_CONFIG) != 0) {
        of_config = second_opinion(config, &config_read);
    }
    opinion of_credentials = second_opinion(credentials, &credentials_read);
    zl_credentials_file file = {0};
    zl_file_status status = zl_credentials_file_read(&file, zl_view_of(dir), profile);
    bool about_config = strstr(file.path.data, names[0]) != NULL;
    CHECK(status == file.status && zl_buf_ok(&file.path) && zl_buf_ok(&file.profile));
    CHECK(!about_config || profile.len == 0);
    if (!about_config && of_config == OPINION_JSON) {
        check_profile(&file, profile, config_read);
    }
    switch (status) {
    case ZL_FILE_NO_FILE: CHECK(!about_config && (flags & HAS_CREDENTIALS) == 0); break;
    case ZL_FILE_TOO_OPEN: CHECK(!about_config && (flags & IS_OPEN) != 0); break;
    case ZL_FILE_MALFORMED:
        CHECK(file.problem != NULL && file.at <= (about_config ? config : credentials).len);
        if (about_config && of_config == OPINION_JSON && has_no_name_twice(config)) {
            CHECK(!is_config(config_read));
        } else if (!about_config && of_credentials == OPINION_JSON &&
                   has_no_name_twice(credentials)) {
            CHECK(!is_credentials(credentials_read, zl_buf_view(&file.profile)));
        }
        break;
    default:
        CHECK(status == ZL_FILE_OK || status == ZL_FILE_NO_PROFILE);
        CHECK((flags & (HAS_CREDENTIALS | IS_OPEN)) == HAS_CREDENTIALS);
        CHECK(of_credentials != OPINION_NONE);
        if (of_credentials == OPINION_JSON) {
            check_found(&file, credentials_read);
        }
        break;
    }
    CHECK(status == ZL_FILE_OK || (file.id.data == NULL && file.password.data == NULL));
    zl_credentials_file_free(&file);
    json_decref(config_read);
    json_decref(credentials_read);
    return 0;
}
