#include "packets.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct packets {
    int fd;
    size_t max;
};

/* A message longer than the send buffer less this is refused (net/unix/af_unix.c, unix_dgram_sendmsg). */
#define OVERHEAD 32

/* Takes over fd. */
static struct packets *end_of(int fd) {
    int size;
    socklen_t len = sizeof size;
    struct packets *end = malloc(sizeof *end);
    if (end == NULL || getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len) == -1) {
        free(end);
        close(fd);
        return NULL;
    }
    end->fd = fd;
    end->max = (size_t)size - OVERHEAD - 1;
    return end;
}

int packets_open(struct packets *ends[2]) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1)
        return -1;
    ends[0] = end_of(fds[0]);
    ends[1] = end_of(fds[1]);
    if (ends[0] != NULL && ends[1] != NULL)
        return 0;
    packets_close(ends[0]);
    packets_close(ends[1]);
    errno = ENOMEM;
    return -1;
}

int packets_fd(const struct packets *end) {
    return end->fd;
}

size_t packets_max(const struct packets *end) {
    return end->max;
}

int packets_send(struct packets *end, const void *message, size_t len) {
    /* A byte before each message tells an empty one from the end. */
    char mark = 0;
    struct iovec parts[] = {{&mark, 1}, {(void *)message, len}};
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(end->fd, &packet, MSG_NOSIGNAL) == -1 ? -1 : 0;
}

ssize_t packets_recv(struct packets *end, void *buffer, size_t size) {
    char mark;
    struct iovec parts[] = {{&mark, 1}, {buffer, size}};
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t len = recvmsg(end->fd, &packet, MSG_TRUNC);
    /* A peer that closed without reading all resets the link. What it sent is still there. */
    if (len == -1 && errno == ECONNRESET)
        len = recvmsg(end->fd, &packet, MSG_TRUNC);
    if (len == 0) {
        errno = EPIPE;
        return -1;
    }
    return len == -1 ? -1 : len - 1;
}

void packets_close(struct packets *end) {
    if (end != NULL)
        close(end->fd);
    free(end);
}
