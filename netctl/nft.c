#include "netctl/nft.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <nftables/libnftables.h>
#include <pthread.h>

#include "netctl/nl.h"

/* Typed by the library's own header. */
static struct {
	__typeof__(nft_ctx_new) *ctx_new;
	__typeof__(nft_ctx_free) *ctx_free;
	__typeof__(nft_ctx_buffer_error) *buffer_error;
	__typeof__(nft_ctx_buffer_output) *buffer_output;
	__typeof__(nft_ctx_get_error_buffer) *get_error;
	__typeof__(nft_run_cmd_from_buffer) *run;
} lib;

/* The library has state besides its contexts. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static int load(struct err *err)
{
	static void *handle;
	const struct {
		const char *name;
		void *at;
	} symbols[] = {
		{ "nft_ctx_buffer_error", &lib.buffer_error },
		{ "nft_ctx_buffer_output", &lib.buffer_output },
		{ "nft_ctx_free", &lib.ctx_free },
		{ "nft_ctx_get_error_buffer", &lib.get_error },
		{ "nft_ctx_new", &lib.ctx_new },
		{ "nft_run_cmd_from_buffer", &lib.run },
	};

	if (handle)
		return 0;
	handle = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return err_set(err, ERR_NotSupported, "NAT needs libnftables: %s", dlerror());
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
		void *symbol = dlsym(handle, symbols[i].name);
		memcpy(symbols[i].at, &symbol, sizeof(symbol));
		if (symbol)
			continue;
		dlclose(handle);
		handle = NULL;
		return err_set(err, ERR_NotSupported, "NAT needs another libnftables: it has no %s", symbols[i].name);
	}
	return 0;
}

/* The first line of what it says: "<cmdline>:1:1-10: Error: Could not process rule: No such file or directory". */
static int failed(struct nft_ctx *ctx, struct err *err)
{
	autofree char *text = strdup(lib.get_error(ctx));
	char *what, *error;

	if (!text)
		return err_sys(err, ENOMEM, "nf_tables");
	text[strcspn(text, "\n")] = 0;
	error = strstr(text, "Error: ");
	what = error ? error + 7 : text;
	if (strstr(what, "Operation not supported") || strstr(what, "Protocol not supported") || strstr(what, "No such file"))
		return err_set(err, ERR_NotSupported, "NAT needs nf_tables with nft_masq, nft_nat and nft_fib: %s", what);
	return err_set(err, ERR_Unknown, "nf_tables: %s", *what ? what : "it failed without a word");
}

int nft_run(const struct text *commands, struct err *err)
{
	struct nft_ctx *ctx;
	int r = text_ok(commands);

	if (r < 0)
		return err_sys(err, ENOMEM, "nf_tables");
	pthread_mutex_lock(&turn);
	r = load(err);
	ctx = r == 0 ? lib.ctx_new(NFT_CTX_DEFAULT) : NULL;
	if (ctx) {
		lib.buffer_output(ctx);
		lib.buffer_error(ctx);
		if (lib.run(ctx, text_str(commands)) != 0)
			r = failed(ctx, err);
		lib.ctx_free(ctx);
	} else if (r == 0) {
		r = err_sys(err, ENOMEM, "nf_tables");
	}
	pthread_mutex_unlock(&turn);
	return r;
}

/* ---- without the library ---- */

static int on_table(UNUSED void *arg, UNUSED struct nlmsghdr *h)
{
	return 0;
}

bool nft_table_exists(int host_ns, const char *table)
{
	struct nfgenmsg header = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };
	struct nl_msg *msg = nlmsg_alloc_simple(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0);
	autonl struct nl nl = {};

	if (!msg || nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO) < 0 ||
	    nla_put_string(msg, NFTA_TABLE_NAME, table) < 0 || nl_open(&nl, NETLINK_NETFILTER, host_ns, NULL) < 0) {
		nlmsg_free(msg);
		return false;
	}
	return nl_query(&nl, msg, on_table, NULL, "table", NULL) == 0;
}

static int on_generation(void *arg, struct nlmsghdr *h)
{
	struct nlattr *id = nlmsg_find_attr(h, sizeof(struct nfgenmsg), NFTA_GEN_ID);

	if (id)
		*(uint32_t *)arg = ntohl(nla_get_u32(id));
	return 0;
}

uint32_t nft_generation(int host_ns)
{
	struct nfgenmsg header = { .nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0 };
	struct nl_msg *msg = nlmsg_alloc_simple(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0);
	autonl struct nl nl = {};
	uint32_t id = 0;

	if (!msg || nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO) < 0 || nl_open(&nl, NETLINK_NETFILTER, host_ns, NULL) < 0) {
		nlmsg_free(msg);
		return 0;
	}
	return nl_query(&nl, msg, on_generation, &id, "generation", NULL) == 0 ? id : 0;
}
