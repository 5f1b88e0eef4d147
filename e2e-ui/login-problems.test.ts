import { expect, it } from 'vitest';
import { textOfLoginProblem } from '../ui/src/views/access/login-problems.js';

it.each([
  ['again', 'The login took too long, or was started in another window. Log in again.'],
  ['name', 'A user of this registry already has this name. Ask an administrator.'],
  ['email', 'The provider has not verified your e-mail address.'],
  ['claims', 'This registry does not accept your account at the provider. Ask an administrator.'],
  ['throttled', 'There were too many failed logins from your address. Wait a minute, then log in again.'],
  ['unavailable', 'The provider does not answer. Try again later.'],
  ['refused', 'The provider did not log you in, or the registry refused its answer.'],
  // Of a newer registry, of a hand that typed the address, and names that every object has.
  ['another', 'The provider did not log you in, or the registry refused its answer.'],
  ['', 'The provider did not log you in, or the registry refused its answer.'],
  ['toString', 'The provider did not log you in, or the registry refused its answer.'],
  ['__proto__', 'The provider did not log you in, or the registry refused its answer.'],
  [null, 'The provider did not log you in, or the registry refused its answer.'],
])('the login problem %j reads %j', (problem, text) => {
  expect(textOfLoginProblem(problem)).toBe(text);
});
