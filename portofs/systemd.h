/*
 * portofs/systemd.h: the two protocols systemd has for a service: datagrams to $NOTIFY_SOCKET, and descriptors it keeps
 * while the service is down ($LISTEN_FDS). Without systemd all of it does nothing.
 */
#ifndef PORTOFS_SYSTEMD_H
#define PORTOFS_SYSTEMD_H

#include "portofs/worker.h"

/* Takes the variables out of the environment, so that neither workers nor containers see them. Before all else. */
void systemd_begin(void);
/* Puts back what a re-executed supervisor needs. */
void systemd_before_exec(void);

void systemd_notify(const char *state); /* "READY=1" */

/* Gives the session into its keeping; takes it out of it for good. */
void systemd_store(const struct handover *h);
void systemd_forget(void);

/* What it kept for us: true, and all three descriptors, or nothing. */
bool systemd_take(struct handover *h);

#endif
