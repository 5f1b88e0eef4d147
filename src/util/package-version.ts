import { createRequire } from 'node:module';

/** Returns the version of this package. */
export function packageVersion(): string {
  // npm requires every package to have a version.
  const { version } = createRequire(import.meta.url)('artifactapi/package.json') as { version: string };
  return version;
}
