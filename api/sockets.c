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

void zl_sockets_set_http1(zl_sockets *sockets, int local_port) {
    for (size_t i = 0; i < sockets->count; i++) {
        if (has_port(&sockets->infos[i], local_port)) {
            sockets->infos[i].is_http1 = true;
        }
    }
}

/* Whether something waits to be read: bytes, the end, or an error. */
static bool has_input(int fd) {
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

/* Whether it was reset: then it carries nothing more, though there may be bytes left to be read. */
static bool is_dead(int fd) {
    struct pollfd look = {.fd = fd};
    return poll(&look, 1, 0) > 0;
}

bool zl_sockets_use(zl_sockets *sockets, int local_port, bool *is_first) {
    bool fit = true;
    sockets->was_used = true;
    *is_first = false;
    for (size_t i = 0; i < sockets->count; i++) {
        struct zl_socket_info *info = &sockets->infos[i];
        if (!has_port(info, local_port)) {
            continue;
        }
        bool unfit = info->is_http1 ? has_input(info->fd) : info->was_used && is_dead(info->fd);
        *is_first = *is_first || !info->was_used;
        info->was_used = true;
        if (unfit) {
            (void)shutdown(info->fd, SHUT_RDWR);
            fit = false;
        }
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
