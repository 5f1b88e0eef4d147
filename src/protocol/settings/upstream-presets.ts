/** The URLs of well-known registries. What is special about a registry follows from its URL and its answers. */
export const upstreamPresets = {
  'docker.io': 'https://registry-1.docker.io',
  'ghcr.io': 'https://ghcr.io',
  'quay.io': 'https://quay.io',
  'registry.k8s.io': 'https://registry.k8s.io',
  'public.ecr.aws': 'https://public.ecr.aws',
  'mcr.microsoft.com': 'https://mcr.microsoft.com',
  'gcr.io': 'https://gcr.io',
} as const;

/** The name of a well-known registry. */
export type UpstreamPreset = keyof typeof upstreamPresets;

/** Returns the URL that the settings of a remote repository name; `undefined` when they name none, or two different ones. */
export function upstreamUrlOf({ url, upstream }: { readonly url?: unknown; readonly upstream?: unknown }): unknown {
  const preset =
    typeof upstream === 'string' && Object.hasOwn(upstreamPresets, upstream)
      ? upstreamPresets[upstream as UpstreamPreset]
      : undefined;
  if (preset === undefined || url === undefined) return preset ?? url;
  // A document of the API shows both, and may be written back.
  return url === preset ? url : undefined;
}
