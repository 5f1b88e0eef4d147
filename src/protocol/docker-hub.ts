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

/** Returns the upstream's name of an image. */
export function toUpstreamImage(image: string, dockerHub: boolean): string {
  return dockerHub && !image.includes('/') ? `library/${image}` : image;
}

/** Normalizes an `ns` value: all names of Docker Hub become `docker.io`. */
export function canonicalNamespace(namespace: string): string {
  const text = namespace.toLowerCase();
  return hosts.has(text) ? 'docker.io' : text;
}
