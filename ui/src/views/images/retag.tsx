import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { imagePath, send } from '../../api.ts';
import type { ImageName } from '../../image-links.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { TextField } from '../../parts/field.tsx';
import { announce } from '../../parts/status.tsx';

/** Asks for the tag that should name a manifest. The registry refuses if the tag has moved in the meantime. */
export function Retag({
  name,
  reference,
  tags,
  onClose,
  onMoved,
}: {
  readonly name: ImageName;
  /** The tag or digest that the tag should name. */
  readonly reference: string;
  /** The tags of the image with their digests. */
  readonly tags: ReadonlyMap<string, string>;
  readonly onClose: () => void;
  readonly onMoved: () => void;
}): VNode {
  const [tag, setTag] = useState('');
  const expected = tags.get(tag) ?? null;
  const submit = async (): Promise<void> => {
    await send('POST', `${imagePath(name.repository, name.image)}/tag`, { tag, reference, expected });
    announce(`Tag ${tag} names ${reference} now`);
    onMoved();
  };
  const isSame = expected !== null && (tags.get(reference) ?? reference) === expected;
  return (
    <DialogForm
      title={`Tag ${reference}`}
      submit={expected === null ? 'Create tag' : 'Move tag'}
      what="The tag could not be set"
      isReady={tag !== '' && !isSame}
      onSubmit={submit}
      onClose={onClose}
    >
      <TextField
        label="Tag"
        value={tag}
        onInput={setTag}
        required
        help={
          expected === null
            ? 'A new tag, or an existing one to move here.'
            : isSame
              ? 'The tag already names this manifest.'
              : `The tag names ${expected.slice(7, 19)} now and will move.`
        }
      />
    </DialogForm>
  );
}
