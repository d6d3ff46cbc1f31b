/* A fast stand-in for an OpenAI-shaped upstream: one thread, one epoll. It must cost so little that what a
 * benchmark sees is the server between it and the driver, not the stub.
 *
 *     cc -O2 -o stub stub.c && ./stub PORT
 *
 * POST anything: 200 and about 1 kB of JSON after `delay` ms; where the body says "stream": true, `chunks`
 * events, the first after `delay` ms, the others `gap` ms apart. Each event's content is "t" and the stub's
 * monotonic clock in nanoseconds, so that a driver on the same machine can tell how long it was under way.
 * GET /set?delay=20&chunks=20&gap=50 changes the numbers; any GET answers the counts as JSON.
 *
 * It trusts its client (the benchmark): no limits, no timeouts, no pipelining beyond its buffer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum phase { READING, BEFORE_JSON, STREAMING };

struct client {
    int fd;
    enum phase phase;
    int events_left; /* of a stream; -1 before its head */
    uint64_t due;    /* when its next bytes are to be sent */
    int place;       /* in the heap; -1 if nothing is due */
    int length, capacity;
    char *buffer;
};

static double delay_ms = 0, gap_ms = 20;
static int chunks = 20;
static long requests, streams, aborted, opened;

static char json[2048];
static int json_length;
static int poller;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* A binary heap of the clients to whom something is due, the earliest first. */

static struct client **heap;
static int heap_size, heap_capacity;

static void put_at(int place, struct client *c) {
    heap[place] = c;
    c->place = place;
}

static void rise(int place) {
    struct client *c = heap[place];
    while (place > 0 && heap[(place - 1) / 2]->due > c->due) {
        put_at(place, heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put_at(place, c);
}

static void sink(int place) {
    struct client *c = heap[place];
    for (;;) {
        int child = 2 * place + 1;
        if (child >= heap_size) break;
        if (child + 1 < heap_size && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= c->due) break;
        put_at(place, heap[child]);
        place = child;
    }
    put_at(place, c);
}

static void schedule(struct client *c) {
    if (heap_size == heap_capacity) {
        heap_capacity = heap_capacity ? heap_capacity * 2 : 1024;
        heap = realloc(heap, heap_capacity * sizeof *heap);
    }
    put_at(heap_size, c);
    rise(heap_size++);
}

static void unschedule(struct client *c) {
    if (c->place < 0) return;
    int place = c->place;
    struct client *last = heap[--heap_size];
    c->place = -1;
    if (last != c) {
        put_at(place, last);
        rise(place);
        sink(last->place);
    }
}

/* Answers */

static void put(struct client *c, const char *bytes, int count) {
    while (count > 0) {
        int sent = send(c->fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) return; /* the read side will see that it is gone */
            usleep(200);
            continue;
        }
        bytes += sent;
        count -= sent;
    }
}

static void answer(struct client *c, const char *body, int length) {
    char out[4096];
    int n = snprintf(out, sizeof out,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                     "x-request-id: req_0123456789abcdef\r\n\r\n%.*s",
                     length, length, body);
    c->phase = READING;
    put(c, out, n);
}

static int event(char *out, const char *delta, const char *finish) {
    return sprintf(out,
                   "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\","
                   "\"created\":1700000000,\"model\":\"stub\",\"choices\":[{\"index\":0,\"delta\":{%s},"
                   "\"finish_reason\":%s}]}\n\n",
                   delta, finish);
}

static void next_event(struct client *c) {
    char data[1024], out[4096], delta[64];
    int n = 0;
    if (c->events_left < 0) {
        c->events_left = chunks;
        n = sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                         "Transfer-Encoding: chunked\r\nx-request-id: req_0123456789abcdef\r\n\r\n");
    }
    sprintf(delta, "\"content\":\"t%llu \"", (unsigned long long)now_ns());
    int length = event(data, delta, "null");
    n += sprintf(out + n, "%x\r\n%s\r\n", length, data);
    if (--c->events_left <= 0) {
        length = event(data, "", "\"stop\"");
        length += sprintf(data + length, "data: [DONE]\n\n");
        n += sprintf(out + n, "%x\r\n%s\r\n0\r\n\r\n", length, data);
        c->phase = READING;
    } else {
        c->due += (uint64_t)(gap_ms * 1e6);
        schedule(c);
    }
    put(c, out, n);
}

/* Requests */

static double number(const char *text, const char *name, double otherwise) {
    const char *found = strstr(text, name);
    return found ? atof(found + strlen(name)) : otherwise;
}

static void control(struct client *c, const char *target) {
    char body[256];
    delay_ms = number(target, "delay=", delay_ms);
    gap_ms = number(target, "gap=", gap_ms);
    chunks = number(target, "chunks=", chunks);
    int n = sprintf(body, "{\"requests\":%ld,\"streams\":%ld,\"aborted\":%ld,\"connections\":%ld}", requests,
                    streams, aborted, opened);
    answer(c, body, n);
}

static void begin(struct client *c, const char *body) {
    int streamed = strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true");
    requests++;
    streams += streamed;
    c->phase = streamed ? STREAMING : BEFORE_JSON;
    c->events_left = -1;
    c->due = now_ns() + (uint64_t)(delay_ms * 1e6);
    if (delay_ms > 0) schedule(c);
    else if (streamed) next_event(c);
    else answer(c, json, json_length);
}

/* Take one whole request off the buffer; 0 if there is none. */
static int take(struct client *c) {
    if (c->phase != READING || c->length < 4) return 0;
    c->buffer[c->length] = 0;
    char *end = strstr(c->buffer, "\r\n\r\n");
    if (!end) return 0;
    int head = end - c->buffer + 4;
    *end = 0;
    char *announced = strcasestr(c->buffer, "\ncontent-length:");
    int total = head + (announced ? atoi(announced + strlen("\ncontent-length:")) : 0);
    *end = '\r';
    if (c->length < total) return 0;
    char after = c->buffer[total];
    c->buffer[total] = 0;
    if (!strncmp(c->buffer, "GET ", 4)) {
        *strstr(c->buffer, "\r\n") = 0;
        control(c, c->buffer);
    } else {
        begin(c, c->buffer + head);
    }
    c->buffer[total] = after;
    memmove(c->buffer, c->buffer + total, c->length - total);
    c->length -= total;
    return 1;
}

static void accept_all(int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct client *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->place = -1;
        c->capacity = 16384;
        c->buffer = malloc(c->capacity + 1);
        struct epoll_event interest = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &interest);
        opened++;
    }
}

static void hear(struct client *c) {
    if (c->length == c->capacity) {
        c->capacity *= 2;
        c->buffer = realloc(c->buffer, c->capacity + 1);
    }
    int count = recv(c->fd, c->buffer + c->length, c->capacity - c->length, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        aborted += c->phase != READING;
        unschedule(c);
        close(c->fd);
        free(c->buffer);
        free(c);
        return;
    }
    if (count > 0) c->length += count;
    while (take(c)) {}
}

static void send_what_is_due(void) {
    uint64_t now = now_ns();
    while (heap_size && heap[0]->due <= now) {
        struct client *c = heap[0];
        unschedule(c);
        if (c->phase == BEFORE_JSON) answer(c, json, json_length);
        else next_event(c);
        while (take(c)) {}
    }
}

static int listen_on(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("stub: bind");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: stub PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    char text[701];
    for (int i = 0; i < 700; i++) text[i] = i % 7 == 5 ? ' ' : 'x';
    text[700] = 0;
    json_length = sprintf(json,
                          "{\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion\","
                          "\"created\":1700000000,\"model\":\"stub\",\"choices\":[{\"index\":0,\"message\":"
                          "{\"role\":\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],"
                          "\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":150,"
                          "\"total_tokens\":250}}",
                          text);
    int listener = listen_on(atoi(argv[1]));
    poller = epoll_create1(0);
    struct epoll_event interest = {.events = EPOLLIN}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &interest);
    for (;;) {
        int wait_ms = -1;
        if (heap_size) {
            uint64_t now = now_ns();
            wait_ms = heap[0]->due > now ? (heap[0]->due - now + 999999) / 1000000 : 0;
        }
        int count = epoll_wait(poller, events, 256, wait_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) hear(events[i].data.ptr);
            else accept_all(listener);
        }
        send_what_is_due();
    }
}
