/* Parts of an issuance that need more than a loop around one call (bench/parts.c). */
#pragma once

#include <stdbool.h>

double thread_cpu_us(void);
/* The server's half of a full TLS 1.3 handshake between two sessions in memory. */
bool measure_handshake(const char *certificate, const char *key, unsigned rounds, double *us);
/* The asker's half of a DNS query over UDP on loopback: build, send, receive, parse. */
bool measure_dns_query(unsigned rounds, double *us);
