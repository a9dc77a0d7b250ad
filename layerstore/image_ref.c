#include "layerstore/image_ref.h"

#define HEX_DIGITS    "0123456789abcdef"
#define LOWER         "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER         "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define SHA256_PREFIX "sha256:"
#define TAG_MAX       128

bool image_is_hex(const char *s)
{
	return strspn(s, HEX_DIGITS) == IMAGE_HEX && !s[IMAGE_HEX];
}

bool image_is_digest(const char *s)
{
	return strncmp(s, SHA256_PREFIX, strlen(SHA256_PREFIX)) == 0 && image_is_hex(s + strlen(SHA256_PREFIX));
}

int image_prefix_parse(const char *text, char ret[IMAGE_HEX + 1])
{
	size_t len;

	if (strncmp(text, SHA256_PREFIX, strlen(SHA256_PREFIX)) == 0)
		text += strlen(SHA256_PREFIX);
	len = strspn(text, HEX_DIGITS);
	if (len == 0 || len > IMAGE_HEX || text[len])
		return -EINVAL;
	memcpy(ret, text, len + 1);
	return 0;
}

/* Components of small letters and digits; between them one dot, one or two underscores, or any number of dashes. */
static bool is_repository(const char *s)
{
	for (;;) {
		size_t n = strspn(s, LOWER);
		if (n == 0)
			return false;
		s += n;
		if (!*s)
			return true;
		if (*s == '-')
			s += strspn(s, "-");
		else if (*s == '_')
			s += s[1] == '_' ? 2 : 1;
		else if (*s == '.' || *s == '/')
			s++;
		else
			return false;
	}
}

/* A host name, an IPv4 address or an IPv6 address in brackets, and a port if there is one. */
static bool is_registry(const char *s)
{
	size_t n = *s == '[' ? strspn(s + 1, "0123456789abcdefABCDEF:") : strspn(s, LOWER UPPER ".-");
	size_t digits;

	if (*s == '[' && (n == 0 || s[n + 1] != ']'))
		return false;
	if (*s == '[')
		n += 2;
	if (n == 0 || *s == '-' || *s == '.')
		return false;
	s += n;
	if (!*s)
		return true;
	digits = *s == ':' ? strspn(s + 1, "0123456789") : 0;
	return digits > 0 && digits <= 5 && !s[1 + digits];
}

static bool is_tag(const char *s)
{
	size_t n = strspn(s, LOWER UPPER "_.-");

	return n > 0 && n <= TAG_MAX && !s[n] && *s != '.' && *s != '-';
}

/* The first component is a registry if no repository could be named so, or it is localhost. */
static bool looks_like_registry(const char *s, size_t len)
{
	return memchr(s, '.', len) || memchr(s, ':', len) || *s == '[' ||
	       (len == strlen("localhost") && memcmp(s, "localhost", len) == 0);
}

static int cut_digest(char *s, struct image_ref *ret, const char *text, struct err *err)
{
	char *at = strchr(s, '@');

	if (!at)
		return 0;
	*at++ = 0;
	if (strncmp(at, "sha512:", 7) == 0)
		return err_set(err, ERR_NotSupported, "image '%s': only sha256 digests are supported", text);
	if (!image_is_digest(at))
		return err_set(err, ERR_InvalidValue,
			       "image '%s': expected sha256: and 64 hexadecimal digits after the @", text);
	memcpy(ret->digest, at, IMAGE_DIGEST_LEN + 1);
	return 0;
}

static int cut_tag(char *s, struct image_ref *ret, const char *text, struct err *err)
{
	char *last = strrchr(s, '/'), *colon = strchr(last ? last : s, ':');

	if (!colon) {
		/* The digest says which; a tag would only be a second opinion. */
		if (!*ret->digest)
			memcpy(ret->tag, "latest", sizeof("latest"));
		return 0;
	}
	*colon++ = 0;
	if (!is_tag(colon))
		return err_set(err, ERR_InvalidValue,
			       "image '%s': a tag is up to %d letters, digits and _.-, the first a letter, digit or _",
			       text, TAG_MAX);
	memcpy(ret->tag, colon, strlen(colon) + 1);
	return 0;
}

static int put_name(const char *name, const struct image_defaults *def, struct image_ref *ret)
{
	const char *slash = strchr(name, '/'), *registry = def->registry, *library = "";
	size_t len = strlen(registry);
	int n;

	if (slash && looks_like_registry(name, (size_t)(slash - name))) {
		registry = name;
		len = (size_t)(slash - name);
		name = slash + 1;
	}
	if (len > IMAGE_REF_MAX)
		return -ENAMETOOLONG;
	memcpy(ret->registry, registry, len);
	ret->registry[len] = 0;
	if (!strchr(name, '/') &&
	    (strcmp(ret->registry, def->registry) == 0 || strcmp(ret->registry, IMAGE_DOCKER_REGISTRY) == 0))
		library = "library/";
	if (def->mirror && strcmp(ret->registry, IMAGE_DOCKER_REGISTRY) == 0)
		snprintf(ret->registry, sizeof(ret->registry), "%s", def->mirror);
	n = snprintf(ret->repository, sizeof(ret->repository), "%s%s", library, name);
	if (n < 0 || (size_t)n + strlen(ret->registry) + 1 > IMAGE_REF_MAX)
		return -ENAMETOOLONG;
	return is_registry(ret->registry) && is_repository(ret->repository) ? 0 : -EINVAL;
}

int image_ref_parse(const char *text, const struct image_defaults *def, struct image_ref *ret, struct err *err)
{
	autofree char *s = strdup(text);
	struct image_ref ref = {};
	int r;

	if (!s)
		return err_sys(err, ENOMEM, "image '%s'", text);
	r = cut_digest(s, &ref, text, err);
	if (r == 0)
		r = cut_tag(s, &ref, text, err);
	if (r < 0)
		return r;
	r = put_name(s, def, &ref);
	if (r == -ENAMETOOLONG)
		return err_set_no(err, ERR_InvalidValue, ENAMETOOLONG,
				  "image '%.64s...': the name has more than %d bytes", text, IMAGE_REF_MAX);
	if (r < 0)
		return err_set(err, ERR_InvalidValue,
			       "image '%s': expected [registry/][repository/]name[:tag][@digest] in small letters",
			       text);
	*ret = ref;
	return 0;
}

void image_ref_format(const struct image_ref *ref, struct text *out)
{
	text_addf(out, "%s/%s", ref->registry, ref->repository);
	if (*ref->tag)
		text_addf(out, ":%s", ref->tag);
	if (*ref->digest)
		text_addf(out, "@%s", ref->digest);
}
