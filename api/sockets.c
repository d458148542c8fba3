#include "sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

static struct zl_socket_info *find(const zl_sockets *sockets, int fd) {
    for (size_t i = 0; i < sockets->count; i++) {
        if (sockets->infos[i].fd == fd) {
            return &sockets->infos[i];
        }
    }
    return NULL;
}

static bool grow(zl_sockets *sockets) {
    if (sockets->count < sockets->room) {
        return true;
    }
    size_t room = sockets->room == 0 ? 8 : sockets->room * 2;
    struct pollfd *polls = realloc(sockets->polls, room * sizeof *polls);
    if (polls == NULL) {
        return false;
    }
    sockets->polls = polls;
    struct zl_socket_info *infos = realloc(sockets->infos, room * sizeof *infos);
    if (infos == NULL) {
        return false;
    }
    sockets->infos = infos;
    sockets->room = room;
    return true;
}

static struct zl_socket_info *add(zl_sockets *sockets, int fd) {
    if (!grow(sockets)) {
        return NULL;
    }
    struct zl_socket_info *info = &sockets->infos[sockets->count];
    *info = (struct zl_socket_info){.fd = fd};
    sockets->polls[sockets->count] = (struct pollfd){.fd = -1};
    sockets->count++;
    return info;
}

bool zl_sockets_open(zl_sockets *sockets, int fd, const void *opener) {
    struct zl_socket_info *info = add(sockets, fd);
    if (info == NULL) {
        return false;
    }
    info->is_connection = true;
    info->opener = opener;
    sockets->connections++;
    return true;
}

bool zl_sockets_is_connected(const zl_sockets *sockets, const void *opener) {
    for (size_t i = 0; i < sockets->count; i++) {
        const struct zl_socket_info *info = &sockets->infos[i];
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        if (info->is_connection && !info->was_used && info->opener == opener &&
            getpeername(info->fd, (struct sockaddr *)&address, &len) == 0) {
            return true;
        }
    }
    return false;
}

bool zl_sockets_watch(zl_sockets *sockets, int fd, short events) {
    struct zl_socket_info *info = find(sockets, fd);
    if (info == NULL) {
        if (events == 0) {
            return true;
        }
        info = add(sockets, fd);
        if (info == NULL) {
            return false;
        }
    }
    if (events == 0 && !info->is_connection) {
        zl_sockets_forget(sockets, fd);
        return true;
    }
    sockets->polls[info - sockets->infos] =
        (struct pollfd){.fd = events == 0 ? -1 : fd, .events = events};
    return true;
}

void zl_sockets_forget(zl_sockets *sockets, int fd) {
    struct zl_socket_info *info = find(sockets, fd);
    if (info == NULL) {
        return;
    }
    size_t at = (size_t)(info - sockets->infos);
    sockets->connections -= info->is_connection ? 1 : 0;
    sockets->was_used = sockets->was_used && sockets->connections > 0;
    sockets->count--;
    sockets->infos[at] = sockets->infos[sockets->count];
    sockets->polls[at] = sockets->polls[sockets->count];
}

static int local_port_of(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        return 0;
    }
    if (address.ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

static bool has_port(struct zl_socket_info *info, int local_port) {
    if (info->is_connection && info->local_port == 0) {
        info->local_port = local_port_of(info->fd);
    }
    return info->is_connection && info->local_port == local_port;
}

/* The next one with this local port, from place `from` on; NULL: there is none. */
static struct zl_socket_info *find_port(zl_sockets *sockets, size_t from, int local_port) {
    for (size_t i = from; i < sockets->count && local_port != 0; i++) {
        if (has_port(&sockets->infos[i], local_port)) {
            return &sockets->infos[i];
        }
    }
    return NULL;
}

/* Two sockets may have one port, of different families: whatever is done is done to both. */
#define EACH_WITH_PORT(info, sockets, port)                                                        \
    struct zl_socket_info *info = find_port((sockets), 0, (port));                                 \
    (info) != NULL;                                                                                \
    (info) = find_port((sockets), (size_t)((info) - (sockets)->infos) + 1, (port))

void zl_sockets_answered(zl_sockets *sockets, int local_port, bool is_http1) {
    for (EACH_WITH_PORT(info, sockets, local_port)) {
        info->is_http1 = info->is_http1 || is_http1;
        info->is_doubted = false;
        info->answers++;
    }
}

size_t zl_sockets_answers(zl_sockets *sockets, int local_port) {
    size_t answers = 0;
    for (EACH_WITH_PORT(info, sockets, local_port)) {
        answers += info->answers;
    }
    return answers;
}

void zl_sockets_doubt(zl_sockets *sockets, int local_port) {
    for (EACH_WITH_PORT(info, sockets, local_port)) {
        info->is_doubted = true;
    }
}

bool zl_sockets_is_doubted(zl_sockets *sockets, int local_port) {
    for (EACH_WITH_PORT(info, sockets, local_port)) {
        if (info->is_doubted) {
            return true;
        }
    }
    return false;
}

void zl_sockets_shut_down(zl_sockets *sockets, int local_port) {
    for (EACH_WITH_PORT(info, sockets, local_port)) {
        (void)shutdown(info->fd, SHUT_RDWR);
    }
}

/* Whether something waits to be read: bytes, the end, or an error. */
static bool has_input(int fd) {
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

bool zl_sockets_use(zl_sockets *sockets, int local_port, bool *is_first) {
    bool fit = true;
    sockets->was_used = true;
    *is_first = false;
    for (EACH_WITH_PORT(info, sockets, local_port)) {
        *is_first = *is_first || !info->was_used;
        info->was_used = true;
        if (info->is_http1 && has_input(info->fd)) {
            (void)shutdown(info->fd, SHUT_RDWR);
            fit = false;
        }
        fit = fit && !info->is_doubted;
    }
    return fit;
}

bool zl_sockets_has_ready(const zl_sockets *sockets) {
    return sockets->was_used && sockets->connections > 0;
}

void zl_sockets_free(zl_sockets *sockets) {
    free(sockets->polls);
    free(sockets->infos);
    *sockets = (zl_sockets){0};
}
