/*
 * serial: the table of serial ports, and the byte rings between a port's driver and its file. See
 * serial.h for who may touch what.
 */
#include "drivers/serial.h"

#include <string.h>

#include "base/panic.h"
#include "mm/frames.h"

void (*serial_changed)(struct serial_port *p);

/* set once at boot */
static struct serial_port *ports[SERIAL_PORTS_MAX];

void serial_attach(struct serial_port *p)
{
	unsigned i = 0;

	while (i < SERIAL_PORTS_MAX && ports[i])
		i++;
	kassert(i < SERIAL_PORTS_MAX);
	p->in.bytes = frames_boot_alloc(SERIAL_RING_BYTES);
	p->out.bytes = frames_boot_alloc(SERIAL_RING_BYTES);
	ports[i] = p;
}

struct serial_port *serial_port(unsigned i)
{
	return i < SERIAL_PORTS_MAX ? ports[i] : NULL;
}

struct serial_port *serial_find(const char *name)
{
	for (unsigned i = 0; i < SERIAL_PORTS_MAX && ports[i]; i++)
		if (!strcmp(ports[i]->name, name))
			return ports[i];
	return NULL;
}

const char *serial_bytes(const struct serial_ring *r, uint32_t *len)
{
	uint32_t at = r->head & (SERIAL_RING_BYTES - 1);

	*len = min_of(serial_count(r), SERIAL_RING_BYTES - at);
	return r->bytes + at;
}

char *serial_space(const struct serial_ring *r, uint32_t *len)
{
	uint32_t at = r->tail & (SERIAL_RING_BYTES - 1);

	*len = min_of(serial_room(r), SERIAL_RING_BYTES - at);
	return r->bytes + at;
}
