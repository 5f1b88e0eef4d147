import { z } from '../../zod.js';
import type { SessionListDocument } from '../../documents/session.js';
import { RegistryError } from '../../errors.js';
import { providerPattern } from '../../settings/token-config.js';
import { describeProblems, strictOptions } from '../../settings/option-schema.js';
import { encodeTime, problemsFound } from './encoding.js';

/** The grammar of the ids of sessions. */
export const loginIdPattern = /^[a-f0-9]{64}$/;

/** Parses the id of a session. @throws RegistryError NOT_FOUND for an invalid id, which no session has. */
export function parseLoginId(text: string): string {
  if (text.length === 64 && loginIdPattern.test(text)) return text;
  throw sessionNotFound();
}

/** Parses the name of a login provider. @throws RegistryError NOT_FOUND for an invalid name, which no provider has. */
export function parseProviderName(text: string): string {
  if (text.length <= 64 && providerPattern.test(text)) return text;
  throw new RegistryError('NOT_FOUND', { message: 'login provider not found' });
}

/** Creates the error for an absent session. It does not show the id, which may be a cookie by mistake. */
export function sessionNotFound(): RegistryError {
  return new RegistryError('NOT_FOUND', { message: 'session not found' });
}

/** Returns a session as the API shows it. */
export function encodeSession(session: {
  readonly id: string;
  readonly user: string;
  readonly source: string;
  readonly createdAt: number;
  readonly seenAt: number;
  readonly address: string;
  readonly agent?: string | undefined;
  readonly isCurrent: boolean;
}): SessionListDocument['sessions'][number] {
  const { id, user, source, createdAt, seenAt, address, agent, isCurrent } = session;
  return {
    id,
    user,
    source,
    created_at: encodeTime(createdAt),
    seen_at: encodeTime(seenAt),
    address,
    ...(agent === undefined ? {} : { agent }),
    current: isCurrent,
  };
}

const loginSchema = strictOptions({
  username: z.string().check(z.minLength(1), z.maxLength(255)),
  password: z.string().check(z.minLength(1), z.maxLength(4096)),
});

/** A name and a password or token. */
export type Login = z.infer<typeof loginSchema>;

/** Decodes the document of a login. @throws RegistryError OPTIONS_INVALID with all problems, without the values. */
export function decodeLogin(document: unknown): Login {
  const checked = loginSchema.safeParse(document);
  if (!checked.success) throw problemsFound(describeProblems(checked.error));
  return checked.data;
}
