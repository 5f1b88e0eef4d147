import { z } from 'zod';
import { secondsSchema, strictOptions, type Immutable } from './option-schema.js';

/** A name and a password, or a token that is sent unchanged. */
export type UpstreamCredentials = { readonly username: string; readonly password: string } | { readonly token: string };

const helperSchema = strictOptions({
  exec: z.array(z.string().min(1).max(4096)).min(1, 'must contain a program').max(100).meta({
    description:
      "A Docker credential helper and its arguments: `['docker-credential-ecr-login', 'get']`. It gets the upstream's host on its standard input and writes `{ Username, Secret }` as JSON. No shell is involved.",
  }),
  expiresSeconds: secondsSchema.min(1).optional().meta({
    description: 'How long its credentials are used before it runs again.',
    unset: 'until the upstream refuses them',
  }),
});

/** A program that returns credentials. */
export type CredentialHelper = Immutable<z.output<typeof helperSchema>>;

/** Checks the credentials for an upstream. */
export const upstreamCredentialsSchema = z
  .union(
    [
      strictOptions({
        username: z.string().min(1).meta({ description: 'The user name, used with `password`.' }),
        password: z.string().meta({ description: 'The password, used with `username`.' }),
      }),
      strictOptions({
        token: z
          .string()
          .min(1)
          .meta({ description: 'A token that is sent unchanged, instead of a name and a password.' }),
      }),
      helperSchema,
      z
        .custom<() => Promise<UpstreamCredentials | undefined>>((value) => typeof value === 'function')
        .meta({ typescript: '(() => Promise<UpstreamCredentials | undefined>)' }),
    ],
    { error: 'must be { username, password }, { token } or { exec }' },
  )
  .optional()
  .meta({
    description:
      'Credentials for the upstream: a name and a password, a token that is sent unchanged, or a Docker credential helper that returns one of them. In code, also a function that returns them.',
    unset: 'none: anonymous requests',
  });

/**
 * Returns the problem of credentials that only the options may contain, not the management API or `repositories.create`. A
 * function cannot be stored, and an administrator of the registry must not run programs on its machine.
 */
export function problemOfManaged(credentials: unknown): string | undefined {
  const instead = 'declare this repository in the options instead';
  if (typeof credentials === 'function') return `must not be a function, which cannot be stored: ${instead}`;
  if (typeof credentials !== 'object' || credentials === null || !('exec' in credentials)) return undefined;
  return `must not run a program: ${instead}`;
}
