import { z } from '../zod.js';
import { describe, secondsSchema, strictOptions, type Immutable } from './option-schema.js';

/** A name and a password, or a token that is sent unchanged. */
export type UpstreamCredentials = { readonly username: string; readonly password: string } | { readonly token: string };

const helperSchema = strictOptions({
  exec: z
    .array(z.string().check(z.minLength(1), z.maxLength(4096)))
    .check(z.minLength(1, 'must contain a program'), z.maxLength(100))
    .apply(describe, {
      description:
        "A Docker credential helper and its arguments: `['docker-credential-ecr-login', 'get']`. It gets the upstream's host on its standard input and writes `{ Username, Secret }` as JSON. No shell is involved.",
    }),
  expiresSeconds: z.optional(secondsSchema.check(z.minimum(1))).apply(describe, {
    description: 'How long its credentials are used before it runs again.',
    unset: 'until the upstream refuses them',
  }),
});

/** A program that returns credentials. */
export type CredentialHelper = Immutable<z.output<typeof helperSchema>>;

/** Checks the credentials for an upstream. */
export const upstreamCredentialsSchema = z
  .optional(
    z.union(
      [
        strictOptions({
          username: z
            .string()
            .check(z.minLength(1))
            .apply(describe, { description: 'The user name, used with `password`.' }),
          password: z.string().apply(describe, { description: 'The password, used with `username`.' }),
        }),
        strictOptions({
          token: z.string().check(z.minLength(1)).apply(describe, {
            description: 'A token that is sent unchanged, instead of a name and a password.',
          }),
        }),
        helperSchema,
        z
          .custom<() => Promise<UpstreamCredentials | undefined>>((value) => typeof value === 'function')
          .apply(describe, { typescript: '(() => Promise<UpstreamCredentials | undefined>)' }),
      ],
      { error: 'must be { username, password }, { token } or { exec }' },
    ),
  )
  .apply(describe, {
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
