import { z } from 'zod';
import { describeProblems, strictOptions } from '../settings/option-schema.js';
import { problemsFound } from './encoding.js';

const loginSchema = strictOptions({ username: z.string().min(1).max(255), password: z.string().min(1).max(4096) });

/** A name and a password or token. */
export type Login = z.infer<typeof loginSchema>;

/** Decodes the document of a login. @throws RegistryError OPTIONS_INVALID with all problems, without the values. */
export function decodeLogin(document: unknown): Login {
  const checked = loginSchema.safeParse(document);
  if (!checked.success) throw problemsFound(describeProblems(checked.error));
  return checked.data;
}
