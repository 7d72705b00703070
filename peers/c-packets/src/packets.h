/* A small library of C, as a stranger brings one: messages over a pair of sequenced-packet sockets. */
#ifndef PACKETS_H
#define PACKETS_H

#include <sys/types.h>

/* One end of a link. */
struct packets;

/* Opens a link. Returns 0, or -1 with errno and no end. */
int packets_open(struct packets *ends[2]);

/* The descriptor on which to wait. It shows a message, or the end of the peer. */
int packets_fd(const struct packets *end);

/* The longest message, in bytes. */
size_t packets_max(const struct packets *end);

/* Sends a message. Never waits. Returns 0, or -1 with errno: EAGAIN where the link is full. */
int packets_send(struct packets *end, const void *message, size_t len);

/* Receives a message. Never waits. Returns its length, which is over `size` where the buffer was too short for it, or -1
   with errno: EAGAIN where there is none, EPIPE where there will be none. */
ssize_t packets_recv(struct packets *end, void *buffer, size_t size);

/* Closes an end in this process. */
void packets_close(struct packets *end);

#endif
