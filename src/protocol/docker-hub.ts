/** The names of Docker Hub: what clients call it, and where its registry really is. */
const hosts: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** Whether a URL is that of Docker Hub, which keeps images whose name has one part under `library/`. */
export function isDockerHub(url: string): boolean {
  return hosts.has(new URL(url).hostname);
}

/** Where a registry answers: for all names of Docker Hub the one host that serves `/v2`. */
export function toRegistryUrl(url: string): string {
  if (!isDockerHub(url)) return url;
  const registry = new URL(url);
  registry.hostname = 'registry-1.docker.io';
  return registry.href;
}

/** The image as the upstream names it. */
export function toUpstreamImage(image: string, dockerHub: boolean): string {
  return dockerHub && !image.includes('/') ? `library/${image}` : image;
}

/** `ns` values that mean the same registry are one: all of Docker Hub's are `docker.io`. */
export function canonicalNamespace(namespace: string): string {
  const text = namespace.toLowerCase();
  return hosts.has(text) ? 'docker.io' : text;
}
