import type { VNode } from 'preact';
import { SelectField, TextField } from '../../parts/field.tsx';

/** The changes to the credentials for an upstream. */
export interface Credentials {
  readonly kind: 'keep' | 'none' | 'password' | 'token';
  readonly username: string;
  readonly secret: string;
}

/** Credentials that stay as they are. */
export const keptCredentials: Credentials = { kind: 'keep', username: '', secret: '' };

/** Returns the part of a document that sets credentials. */
export function credentialsOf({ kind, username, secret }: Credentials): { readonly credentials?: object | null } {
  if (kind === 'keep') return {};
  if (kind === 'none') return { credentials: null };
  return { credentials: kind === 'token' ? { token: secret } : { username, password: secret } };
}

/** Fields for the credentials of an upstream. The registry never shows the ones that it has. */
export function CredentialFields({
  value,
  isStored,
  problem,
  onChange,
}: {
  readonly value: Credentials;
  readonly isStored: boolean;
  readonly problem: string | undefined;
  readonly onChange: (value: Credentials) => void;
}): VNode {
  const set = (part: Partial<Credentials>): void => onChange({ ...value, ...part });
  return (
    <>
      <SelectField
        label="Credentials for the upstream"
        value={value.kind}
        options={[
          ['keep', isStored ? 'keep the stored ones' : 'none: anonymous requests'],
          ...(isStored ? [['none', 'remove them'] as const] : []),
          ['password', 'a name and a password'],
          ['token', 'a token, sent unchanged'],
        ]}
        help={
          isStored ? 'A new URL, proxy or certificate removes the stored ones, unless you enter them again.' : undefined
        }
        problem={problem}
        // The values of the options are the kinds.
        onChange={(kind) => set({ kind: kind as Credentials['kind'] })}
      />
      {value.kind === 'password' ? (
        <TextField label="User name" value={value.username} onInput={(username) => set({ username })} />
      ) : undefined}
      {value.kind === 'password' || value.kind === 'token' ? (
        <TextField
          label={value.kind === 'token' ? 'Token' : 'Password'}
          type="password"
          autocomplete="new-password"
          value={value.secret}
          onInput={(secret) => set({ secret })}
        />
      ) : undefined}
    </>
  );
}
