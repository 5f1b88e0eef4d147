import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { send } from '../../api.ts';
import { count } from '../../format.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { TextField } from '../../parts/field.tsx';
import { Facts } from '../../parts/page.tsx';
import { Answered } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Bytes } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';

interface Content {
  readonly images: number;
  readonly tags: number;
  readonly manifests: number;
  readonly size_bytes: number;
}

/** Deletes a repository after it has shown what will be deleted, and the user has typed the name. */
export function DeleteRepository({
  name,
  version,
  onClose,
  onDone,
}: {
  readonly name: string;
  /** The version of the repository that the user saw. */
  readonly version: string | undefined;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const [typed, setTyped] = useState('');
  const path = `repositories/${name}`;
  const preview = useAnswer(() => send<Content>('DELETE', path, undefined, { dry_run: true }), [name]);
  const remove = async (): Promise<void> => {
    await send('DELETE', path, undefined, {}, version);
    announce(`Deleted ${name}`);
    onDone();
  };
  return (
    <DialogForm
      title={`Delete ${name}?`}
      submit="Delete"
      what="The repository could not be deleted"
      isDangerous
      isReady={preview.value !== undefined && typed === name}
      onSubmit={remove}
      onClose={onClose}
    >
      <Answered answer={preview} what="The repository cannot be deleted">
        {({ images, tags, manifests, size_bytes: bytes }) => (
          <>
            <Facts
              facts={[
                ['Deletes', `${count(images, 'image')}, ${count(tags, 'tag')}, ${count(manifests, 'manifest')}`],
                ['Size, at most', <Bytes key="bytes" value={bytes} />],
              ]}
            />
            <p>This cannot be undone: a deleted repository has no trash.</p>
            <TextField label={`Type ${name} to confirm`} value={typed} onInput={setTyped} />
          </>
        )}
      </Answered>
    </DialogForm>
  );
}
