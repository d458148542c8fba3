#include "credentials_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json_read.h"

/* --- where they are --------------------------------------------------------------------------- */

enum { ENTRY_MAX = 1 << 20 };

static bool add_home_of_database(zl_buf *dir) {
    zl_buf room = {0};
    struct passwd entry, *found = NULL;
    int rc = ERANGE;
    for (size_t size = 1024; rc == ERANGE && size <= ENTRY_MAX; size *= 2) {
        rc = zl_buf_reserve(&room, size) ? getpwuid_r(getuid(), &entry, room.data, size, &found)
                                         : ENOMEM;
    }
    if (rc == 0 && found != NULL) {
        zl_buf_add_text(dir, entry.pw_dir);
    }
    zl_buf_free(&room);
    return rc != ENOMEM && zl_buf_ok(dir);
}

bool zl_credentials_dir(zl_buf *dir) {
    const char *home = getenv("HOME");
    if (home == NULL || *home == '\0') {
        if (!add_home_of_database(dir)) {
            return false;
        }
    } else {
        zl_buf_add_text(dir, home);
    }
    if (dir->len > 0) {
        zl_buf_add_text(dir, "/.zenlayer");
    }
    return zl_buf_ok(dir);
}

/* --- reading a file --------------------------------------------------------------------------- */

static zl_file_status unreadable(zl_credentials_file *file) {
    file->error_number = errno;
    return ZL_FILE_UNREADABLE;
}

/* All that is left of fd. What its size was a moment ago does not matter. */
static zl_file_status read_to_end(zl_credentials_file *file, int fd, zl_buf *text) {
    for (;;) {
        if (!zl_buf_reserve(text, 1)) {
            return ZL_FILE_NOMEM;
        }
        ssize_t n = read(fd, text->data + text->len, text->cap - text->len - 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return unreadable(file);
        }
        text->len += (size_t)n;
        text->data[text->len] = '\0';
        if (text->len > ZL_CREDENTIALS_FILE_MAX) {
            return ZL_FILE_TOO_LARGE;
        }
        if (n == 0) {
            return ZL_FILE_OK;
        }
    }
}

/* What the descriptor is decides, not what stood under the name a moment before. */
static zl_file_status read_descriptor(zl_credentials_file *file, int fd, bool is_secret,
                                      zl_buf *text) {
    struct stat about;
    if (fstat(fd, &about) != 0) {
        return unreadable(file);
    }
    if (!S_ISREG(about.st_mode)) {
        return ZL_FILE_NOT_REGULAR;
    }
    file->mode = about.st_mode & 07777;
    if (is_secret && (about.st_mode & 077) != 0) {
        return ZL_FILE_TOO_OPEN;
    }
    size_t likely =
        about.st_size < ZL_CREDENTIALS_FILE_MAX ? (size_t)about.st_size : ZL_CREDENTIALS_FILE_MAX;
    if (!zl_buf_reserve(text, likely + 1)) {
        return ZL_FILE_NOMEM;
    }
    return read_to_end(file, fd, text);
}

/* The bytes of a file of the folder. Without O_NONBLOCK the opening of a FIFO would wait. */
static zl_file_status read_file(zl_credentials_file *file, zl_view dir, const char *name,
                                bool is_secret, zl_buf *text) {
    int fd;
    zl_buf_set(&file->path, dir);
    zl_buf_addf(&file->path, "/%s", name);
    if (!zl_buf_ok(&file->path)) {
        return ZL_FILE_NOMEM;
    }
    do {
        fd = open(file->path.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? ZL_FILE_NO_FILE : unreadable(file);
    }
    zl_file_status status = read_descriptor(file, fd, is_secret, text);
    (void)close(fd);
    return status;
}

/* --- what stands in it ------------------------------------------------------------------------ */

static zl_file_status malformed(zl_credentials_file *file, const char *problem, size_t at) {
    file->problem = problem;
    file->at = at;
    return ZL_FILE_MALFORMED;
}

/* The member of an object that is part of `text`. NO_PROFILE: it is not there, or null. */
static zl_file_status find(zl_credentials_file *file, const zl_buf *text, zl_view object,
                           zl_view name, zl_view *value) {
    size_t found = zl_json_member(object, name, value);
    if (found > 1) {
        return malformed(file, "a second value for the same name",
                         (size_t)(value->data - text->data));
    }
    return found == 0 || value->data[0] == 'n' ? ZL_FILE_NO_PROFILE : ZL_FILE_OK;
}

/* A string of an object into *out; absent or null: nothing. */
static zl_file_status copy(zl_credentials_file *file, const zl_buf *text, zl_view object,
                           zl_view name, zl_buf *out) {
    zl_view value;
    zl_file_status status = find(file, text, object, name, &value);
    if (status != ZL_FILE_OK) {
        return status == ZL_FILE_NO_PROFILE ? ZL_FILE_OK : status;
    }
    if (!zl_json_string(value, out)) {
        return malformed(file, "a string is expected", (size_t)(value.data - text->data));
    }
    return zl_buf_ok(out) ? ZL_FILE_OK : ZL_FILE_NOMEM;
}

/* The object that a whole text is. */
static zl_file_status read_object(zl_credentials_file *file, const zl_buf *text, zl_view *object) {
    size_t at = 0;
    if (!zl_json_read(zl_buf_view(text), object, &at)) {
        return malformed(file, "no JSON", at);
    }
    if (object->data[0] != '{') {
        return malformed(file, "an object is expected", (size_t)(object->data - text->data));
    }
    return ZL_FILE_OK;
}

static zl_file_status find_current(zl_credentials_file *file, const zl_buf *text) {
    zl_view config = {NULL, 0};
    zl_file_status status = read_object(file, text, &config);
    if (status == ZL_FILE_OK) {
        status = copy(file, text, config, ZL_LIT("current_profile"), &file->profile);
    }
    file->is_current = file->profile.len > 0;
    return status;
}

static zl_file_status find_profile(zl_credentials_file *file, const zl_buf *text,
                                   zl_view *profile) {
    zl_view profiles = {NULL, 0};
    zl_file_status status = read_object(file, text, &profiles);
    if (status == ZL_FILE_OK) {
        status = find(file, text, profiles, zl_buf_view(&file->profile), profile);
    }
    if (status == ZL_FILE_OK && profile->data[0] != '{') {
        status = malformed(file, "an object is expected", (size_t)(profile->data - text->data));
    }
    return status;
}

static zl_file_status take_profile(zl_credentials_file *file, const zl_buf *text) {
    zl_view profile = {NULL, 0};
    zl_file_status status = find_profile(file, text, &profile);
    const struct part {
        const char *name;
        zl_buf *value;
    } parts[] = {{"access_key_id", &file->id},
                 {"access_key_secret", &file->password},
                 {"token", &file->token}};
    for (size_t i = 0; status == ZL_FILE_OK && i < sizeof parts / sizeof parts[0]; i++) {
        status = copy(file, text, profile, zl_view_of(parts[i].name), parts[i].value);
    }
    return status;
}

/* --- both of them ----------------------------------------------------------------------------- */

/* The profile that is in use: config.json says it, or there is no such file and none is said. */
static zl_file_status read_config(zl_credentials_file *file, zl_view dir) {
    zl_buf text = {0};
    zl_file_status status = read_file(file, dir, "config.json", false, &text);
    if (status == ZL_FILE_OK) {
        status = find_current(file, &text);
    } else if (status == ZL_FILE_NO_FILE) {
        status = ZL_FILE_OK;
    }
    zl_buf_free(&text);
    return status;
}

static zl_file_status read_credentials(zl_credentials_file *file, zl_view dir) {
    zl_buf text = {0};
    zl_file_status status = read_file(file, dir, "credentials.json", true, &text);
    if (status == ZL_FILE_OK) {
        status = take_profile(file, &text);
    }
    zl_buf_free(&text);
    return status;
}

static zl_file_status read_both(zl_credentials_file *file, zl_view dir, zl_view profile) {
    zl_buf_set(&file->profile, profile);
    if (profile.len == 0 && dir.len > 0) {
        zl_file_status status = read_config(file, dir);
        if (status != ZL_FILE_OK) {
            return status;
        }
    }
    if (file->profile.len == 0) {
        zl_buf_add_text(&file->profile, "default");
    }
    if (!zl_buf_ok(&file->profile)) {
        return ZL_FILE_NOMEM;
    }
    if (dir.len > 0) {
        return read_credentials(file, dir);
    }
    zl_buf_set(&file->path, ZL_LIT("~/.zenlayer/credentials.json"));
    return zl_buf_ok(&file->path) ? ZL_FILE_NO_HOME : ZL_FILE_NOMEM;
}

static void forget_secrets(zl_credentials_file *file) {
    zl_buf_free(&file->id);
    zl_buf_free(&file->password);
    zl_buf_free(&file->token);
}

zl_file_status zl_credentials_file_read(zl_credentials_file *file, zl_view dir, zl_view profile) {
    zl_credentials_file_free(file);
    file->status = read_both(file, dir, profile);
    if (file->status != ZL_FILE_OK) {
        forget_secrets(file);
    }
    return file->status;
}

void zl_credentials_file_free(zl_credentials_file *file) {
    forget_secrets(file);
    zl_buf_free(&file->path);
    zl_buf_free(&file->profile);
    *file = (zl_credentials_file){0};
}
