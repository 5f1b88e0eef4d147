import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { RepositoryDocument } from '../../../../src/protocol/documents/repositories.js';
import { get, urlOf } from '../../api.ts';
import { SelectField, TextField } from '../../parts/field.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Page, Section } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { useAnswer } from '../../use-answer.ts';
import { UploadItem } from './upload-item.tsx';

interface Started {
  readonly id: number;
  readonly file: File;
  readonly url: string;
}

/** Uploads archives of images. */
export function Upload(): VNode {
  const answer = useAnswer(
    (signal) => get<{ readonly repositories: readonly RepositoryDocument[] }>('repositories', {}, signal),
    [],
  );
  return (
    <Page title="Upload">
      <Answered answer={answer} what="The repositories could not be read">
        {({ repositories }) => {
          const names = repositories.filter(({ repo_type: type }) => type !== 'remote').map(({ name }) => name);
          return names.length === 0 ? <Empty>No repository accepts pushes.</Empty> : <Form repositories={names} />;
        }}
      </Answered>
    </Page>
  );
}

function Form({ repositories }: { readonly repositories: readonly string[] }): VNode {
  const [repository, setRepository] = useState(repositories[0] ?? '');
  const [image, setImage] = useState('');
  const [tag, setTag] = useState('');
  const [started, setStarted] = useState<readonly Started[]>([]);
  const start = (files: readonly File[]): void => {
    const query = { image: image.trim() || undefined, tag: tag.trim() || undefined };
    const url = urlOf(`repositories/${repository}/import`, query);
    setStarted((before) => [...files.map((file, index) => ({ id: before.length + index, file, url })), ...before]);
  };
  return (
    <>
      <div class="upload-fields">
        <SelectField
          label="Repository"
          value={repository}
          options={repositories.map((name) => [name, name])}
          onChange={setRepository}
        />
        <TextField label="Image" value={image} onInput={setImage} placeholder="as in the file" />
        <TextField label="Tag" value={tag} onInput={setTag} placeholder="as in the file" />
      </div>
      <Drop onFiles={start} />
      {started.length === 0 ? undefined : (
        <Section title="Uploads">
          <p class="faint">Leaving this view cancels uploads that are not complete.</p>
          {started.map(({ id, file, url }) => (
            <UploadItem key={id} file={file} url={url} />
          ))}
        </Section>
      )}
    </>
  );
}

function Drop({ onFiles }: { readonly onFiles: (files: readonly File[]) => void }): VNode {
  const [isOver, setOver] = useState(false);
  return (
    <label class={isOver ? 'drop over' : 'drop'}>
      <Icon name="upload" />
      <span>Drop archives of docker save or OCI layouts here, or choose them</span>
      <input
        type="file"
        multiple
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          onFiles([...(event.dataTransfer?.files ?? [])]);
        }}
        onChange={(event) => {
          const field = event.currentTarget;
          onFiles([...(field.files ?? [])]);
          // The same file can be chosen again.
          field.value = '';
        }}
      />
    </label>
  );
}
