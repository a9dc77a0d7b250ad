/* engine/device_nodes.h: the nodes of devices in a container's own /dev: by porto-init at the start, and while it runs. */
#ifndef ENGINE_DEVICE_NODES_H
#define ENGINE_DEVICE_NODES_H

#include "engine/devices.h"

/* The operation that makes its node: engine/init/proto.h. */
void device_op(const struct device *d, struct text *ops);
/* In the /dev of a running container: what is in new and not in old is made, what is in old and not in new removed. */
int device_nodes_change(struct ct *ct, const struct device_set *old, const struct device_set *new, struct err *err);

#endif
