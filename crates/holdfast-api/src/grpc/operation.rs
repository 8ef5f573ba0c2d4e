//! The methods there are: what log and metrics call them, and what must be known of one before it is called.

/// A method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Operation {
    /// In log and metrics.
    pub(super) name: &'static str,
    /// Whether it asks for no token.
    pub(super) is_open: bool,
    /// Whether it changes anything, so that a deadline that passes leaves it unknown whether it did.
    pub(super) writes: bool,
    /// Whether its request is a stream of unknown length.
    pub(super) streams_in: bool,
}

impl Operation {
    /// The method at this path. What there is not is verified like the rest, and told by tonic.
    pub(super) fn at(path: &str) -> Self {
        match path {
            "/holdfast.v1.Buckets/Create" => Self::write("Buckets.Create"),
            "/holdfast.v1.Buckets/Get" => Self::read("Buckets.Get"),
            "/holdfast.v1.Buckets/List" => Self::read("Buckets.List"),
            "/holdfast.v1.Buckets/Delete" => Self::write("Buckets.Delete"),
            "/holdfast.v1.Objects/Put" => Self {
                streams_in: true,
                ..Self::write("Objects.Put")
            },
            "/holdfast.v1.Objects/Get" => Self::read("Objects.Get"),
            "/holdfast.v1.Objects/Stat" => Self::read("Objects.Stat"),
            "/holdfast.v1.Objects/Delete" => Self::write("Objects.Delete"),
            "/holdfast.v1.Objects/List" => Self::read("Objects.List"),
            "/holdfast.v1.Cluster/View" => Self::read("Cluster.View"),
            "/holdfast.v1.Cluster/Locate" => Self::read("Cluster.Locate"),
            "/holdfast.v1.Cluster/Watch" => Self::read("Cluster.Watch"),
            "/grpc.health.v1.Health/Check" => Self::open("Health.Check"),
            "/grpc.health.v1.Health/Watch" => Self::open("Health.Watch"),
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Self::open("Reflection"),
            _ => Self::read("-"),
        }
    }

    const fn read(name: &'static str) -> Self {
        Self {
            name,
            is_open: false,
            writes: false,
            streams_in: false,
        }
    }

    const fn write(name: &'static str) -> Self {
        Self {
            writes: true,
            ..Self::read(name)
        }
    }

    const fn open(name: &'static str) -> Self {
        Self {
            is_open: true,
            ..Self::read(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::Operation;

    /// A method that is added to the files and not here would be logged without a name.
    #[test]
    fn every_method_has_a_name() {
        let mut methods = 0;
        for description in [holdfast_proto::DESCRIPTION, tonic_health::pb::FILE_DESCRIPTOR_SET] {
            let set = FileDescriptorSet::decode(description).unwrap();
            for file in &set.file {
                for service in &file.service {
                    for method in &service.method {
                        let operation =
                            Operation::at(&format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                        assert_eq!(operation.name, format!("{}.{}", service.name(), method.name()));
                        assert_eq!(operation.is_open, service.name() == "Health", "{}", operation.name);
                        assert_eq!(operation.streams_in, method.client_streaming(), "{}", operation.name);
                        let changes = ["Create", "Put", "Delete"].contains(&method.name());
                        assert_eq!(operation.writes, changes, "{}", operation.name);
                        methods += 1;
                    }
                }
            }
        }
        assert!(methods >= 14, "{methods}");
        assert_eq!(Operation::at("/holdfast.v1.Objects/Guess").name, "-");
        assert!(!Operation::at("/holdfast.v1.Objects/Guess").is_open);
    }
}
