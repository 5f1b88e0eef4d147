import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { AccountTokenDocument } from '../../../../src/protocol/documents/access.js';
import { send } from '../../api.ts';
import { Dialog, DialogForm } from '../../parts/dialog.tsx';
import { SelectField, TextField } from '../../parts/field.tsx';
import { CopyLine } from '../../parts/texts.tsx';
import { session } from '../../session.ts';

const day = 86_400;
const lifetimes = [
  ['', 'never'],
  [String(30 * day), 'after 30 days'],
  [String(90 * day), 'after 90 days'],
  [String(365 * day), 'after a year'],
] as const;

const permissions = [
  ['', 'everything that the rules allow its owner'],
  ['pull', 'only pull'],
  ['pull push', 'pull and push'],
] as const;

/** Returns in words what a token with these limits allows. */
export function describeLimits(limits: AccountTokenDocument['limits']): string {
  if (limits === undefined) return 'everything that the rules allow its owner';
  return limits.map(({ names, allow }) => `${allow.join(', ')} of ${names.join(', ')}`).join('; ');
}

/** Creates a token, and shows its secret once. */
export function NewToken({
  account,
  path,
  onClose,
  onDone,
}: {
  readonly account: string;
  readonly path: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const [description, setDescription] = useState('');
  const [seconds, setSeconds] = useState<string>(lifetimes[2][0]);
  const [allow, setAllow] = useState('');
  const [names, setNames] = useState('**');
  const [secret, setSecret] = useState<string | undefined>(undefined);
  if (secret !== undefined) return <Secret account={account} secret={secret} onClose={onClose} />;
  const create = async (): Promise<void> => {
    const { token } = await send<{ readonly token: string }>('POST', path, {
      description,
      ...(seconds === '' ? {} : { expires_in_seconds: Number(seconds) }),
      ...(allow === '' ? {} : { limits: [{ names: names.split(/[\s,]+/), allow: allow.split(' ') }] }),
    });
    onDone();
    setSecret(token);
  };
  return (
    <DialogForm
      title={`New token of ${account}`}
      submit="Create"
      what="The token could not be created"
      isReady={allow === '' || names.trim() !== ''}
      onSubmit={create}
      onClose={onClose}
    >
      <TextField label="Description" value={description} onInput={setDescription} />
      <SelectField label="Expires" value={seconds} options={lifetimes} onChange={setSeconds} />
      <SelectField label="Allows" value={allow} options={permissions} onChange={setAllow} />
      {allow === '' ? undefined : (
        <TextField
          label="Images"
          value={names}
          onInput={setNames}
          help="Patterns of repository/image, separated by spaces: local/team/**"
        />
      )}
    </DialogForm>
  );
}

function Secret({
  account,
  secret,
  onClose,
}: {
  readonly account: string;
  readonly secret: string;
  readonly onClose: () => void;
}): VNode {
  const host = session.value?.registry.host ?? '';
  return (
    <Dialog title="Token created" onClose={onClose} isWide>
      <div class="body">
        <p>Copy the token now. It is not shown again.</p>
        <CopyLine text={secret} label="Copy token" />
        <p>Log in, and paste the token as the password:</p>
        <CopyLine text={`docker login -u ${account} ${host}`} label="Copy docker login" />
        <footer>
          <button type="button" class="primary" onClick={onClose}>
            Done
          </button>
        </footer>
      </div>
    </Dialog>
  );
}
