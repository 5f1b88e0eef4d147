/** The host names of Docker Hub: those that clients use, and the one that serves its registry. */
const hosts: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** Returns whether a URL belongs to Docker Hub, which stores images with one-part names under `library/`. */
export function isDockerHub(url: string): boolean {
  return hosts.has(new URL(url).hostname);
}

/** Returns the URL of a registry. For every host name of Docker Hub, this is the one that serves `/v2`. */
export function toRegistryUrl(url: string): string {
  if (!isDockerHub(url)) return url;
  const registry = new URL(url);
  registry.hostname = 'registry-1.docker.io';
  return registry.href;
}

interface HubSettings {
  readonly url: string;
  readonly dockerHub?: boolean | undefined;
}

/**
 * Returns whether an upstream has official images, whose names may omit `library/`: by its setting, else Docker Hub itself. With
 * a path in the URL, all images are those of one user.
 */
export function hasOfficialImages({ url, dockerHub }: HubSettings): boolean {
  return dockerHub ?? (isDockerHub(url) && new URL(url).pathname === '/');
}

/** Returns the one name of an image of Docker Hub: `alpine` is `library/alpine`. */
export function toCanonicalImage(image: string): string {
  return image.includes('/') ? image : `library/${image}`;
}

/** Adds the patterns that match the canonical names of the images that patterns without a slash match. */
export function withCanonicalPatterns(patterns: readonly string[]): readonly string[] {
  return [...patterns, ...patterns.filter((pattern) => !pattern.includes('/')).map((pattern) => `library/${pattern}`)];
}

/** Normalizes an `ns` value: all names of Docker Hub become `docker.io`. */
export function canonicalNamespace(namespace: string): string {
  const text = namespace.toLowerCase();
  return hosts.has(text) ? 'docker.io' : text;
}
