#include "netctl/nft.h"

#include <dlfcn.h>
#include <nftables/libnftables.h>
#include <pthread.h>

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
